//! Classifies what an API server answers by what can be done about it.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use kube::core::Status;

use crate::reconcile::{Failure, Write};

/// Whether the same request may succeed later without anybody changing anything.
pub const fn is_retryable(failure: Failure) -> bool {
    match failure {
        Failure::Conflict | Failure::TooManyRequests { .. } | Failure::Unavailable => true,
        Failure::AlreadyExists | Failure::Forbidden | Failure::Invalid | Failure::NotFound => false,
    }
}

/// What an answer that is no success means.
pub(super) fn classify(
    write: Write,
    code: StatusCode,
    headers: &HeaderMap,
    status: &Status,
) -> Failure {
    match code {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Forbidden,
        StatusCode::NOT_FOUND | StatusCode::GONE => Failure::NotFound,
        StatusCode::CONFLICT if is_create(write) && status.reason != "Conflict" => {
            Failure::AlreadyExists
        }
        StatusCode::CONFLICT => Failure::Conflict,
        StatusCode::TOO_MANY_REQUESTS => Failure::TooManyRequests {
            retry_after: retry_after(headers, status),
        },
        StatusCode::REQUEST_TIMEOUT => Failure::Unavailable,
        code if code.is_client_error() => Failure::Invalid,
        _ => Failure::Unavailable,
    }
}

const fn is_create(write: Write) -> bool {
    match write {
        Write::CreateEvent | Write::CreateLease | Write::CreateNode => true,
        Write::DeleteLease
        | Write::PatchEvent
        | Write::PatchNode
        | Write::PatchStatus
        | Write::RenewLease => false,
    }
}

/// Priority and fairness says it in a header, with a body that is no `Status`.
fn retry_after(headers: &HeaderMap, status: &Status) -> Option<Duration> {
    let said = headers
        .get(header::RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let detailed = status
        .details
        .as_ref()
        .map(|details| u64::from(details.retry_after_seconds))
        .filter(|seconds| *seconds > 0);
    said.or(detailed).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classified(write: Write, code: u16, reason: &str) -> Failure {
        let status = Status {
            reason: reason.to_owned(),
            ..Status::default()
        };
        let code = StatusCode::from_u16(code).unwrap();
        classify(write, code, &HeaderMap::new(), &status)
    }

    #[test]
    fn answers_are_classified_by_what_can_be_done() {
        let create = Write::CreateNode;
        let cases = [
            (create, 409, "AlreadyExists", Failure::AlreadyExists),
            (create, 409, "Conflict", Failure::Conflict),
            (Write::PatchStatus, 409, "Conflict", Failure::Conflict),
            (Write::RenewLease, 404, "NotFound", Failure::NotFound),
            (create, 401, "Unauthorized", Failure::Forbidden),
            (create, 403, "Forbidden", Failure::Forbidden),
            (create, 400, "BadRequest", Failure::Invalid),
            (create, 422, "Invalid", Failure::Invalid),
            (create, 415, "UnsupportedMediaType", Failure::Invalid),
            (create, 408, "", Failure::Unavailable),
            (create, 500, "InternalError", Failure::Unavailable),
            (create, 503, "", Failure::Unavailable),
            (create, 507, "", Failure::Unavailable),
            (create, 302, "", Failure::Unavailable),
            (
                create,
                429,
                "",
                Failure::TooManyRequests { retry_after: None },
            ),
        ];
        for (write, code, reason, expected) in cases {
            assert_eq!(classified(write, code, reason), expected, "{code} {reason}");
        }
    }

    #[test]
    fn retry_after_is_read_from_the_header_or_the_status() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let seven = Some(Duration::from_secs(7));
        assert_eq!(retry_after(&headers, &Status::default()), seven);
        headers.insert(
            header::RETRY_AFTER,
            "Wed, 21 Oct 2026 07:28:00 GMT".parse().unwrap(),
        );
        assert_eq!(retry_after(&headers, &Status::default()), None);
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert!(is_retryable(Failure::Unavailable));
        assert!(is_retryable(Failure::Conflict));
        assert!(!is_retryable(Failure::Invalid));
        assert!(!is_retryable(Failure::Forbidden));
    }
}
