//! The keys that say which conditions of the board are reported.

use crate::assess::conditions::Config;
use crate::keys::{KeyError, Keys};

pub(super) fn conditions(keys: &Keys<'_>) -> Result<Config, KeyError> {
    let default = Config::default();
    Ok(Config {
        reports_out_of_disk: keys
            .boolean("report_out_of_disk")?
            .unwrap_or(default.reports_out_of_disk),
        reports_network_unavailable: keys
            .boolean("report_network_unavailable")?
            .unwrap_or(default.reports_network_unavailable),
    })
}
