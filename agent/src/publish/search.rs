//! What is known of a host or a service while the local network is asked about it; pure.
//!
//! A search says what is still to be asked, takes what was answered and, in the end, lists what
//! it found in the order in which it is to be tried.

use std::cmp::Reverse;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::dns::{Fact, Kind, Name, Question, Record};

/// More than a home says of its brokers; whoever says more is not heard.
const FACTS_MAX: usize = 128;
/// Questions of one message, which is then shorter than a packet.
const QUESTIONS_MAX: usize = 8;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Addresses of a host.
    Host(Name),
    /// Every instance of a service, with its host's addresses.
    Service(Name),
}

/// An instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// For example `nodling on attic._mqtt._tcp.local`.
    pub name: Name,
    /// For example `attic.local`.
    pub host: String,
    /// Where on it.
    pub port: u16,
    /// The host's addresses, at least one.
    pub addresses: Vec<SocketAddr>,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    wanted: Wanted,
    /// With the number of the interface on which each was heard.
    facts: Vec<(Record, u32)>,
}

impl Search {
    /// Nothing is known yet.
    pub const fn new(wanted: Wanted) -> Self {
        Self {
            wanted,
            facts: Vec::new(),
        }
    }

    /// What is looked for.
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Takes what was heard on an interface.
    pub fn take(&mut self, records: Vec<Record>, interface: u32) {
        for record in records {
            let fact = (record, interface);
            if self.facts.len() < FACTS_MAX && !self.facts.contains(&fact) {
                self.facts.push(fact);
            }
        }
    }

    /// What is to be asked; nothing, if all is known that was asked about.
    pub fn questions(&self) -> Vec<Question> {
        let mut questions = Vec::new();
        match &self.wanted {
            Wanted::Host(host) => self.ask_host(host, &mut questions),
            Wanted::Service(service) => {
                if self.instances(service).next().is_none() {
                    let name = service.clone();
                    questions.push(Question {
                        name,
                        kind: Kind::Ptr,
                    });
                }
                for name in self.instances(service) {
                    match self.server(name) {
                        Some(server) => self.ask_host(server.host, &mut questions),
                        None => questions.push(Question {
                            name: name.clone(),
                            kind: Kind::Srv,
                        }),
                    }
                }
            }
        }
        questions.truncate(QUESTIONS_MAX);
        questions
    }

    fn ask_host(&self, host: &Name, questions: &mut Vec<Question>) {
        if self.addresses(host, 0).is_empty() {
            questions.extend([Kind::A, Kind::Aaaa].map(|kind| Question {
                name: host.clone(),
                kind,
            }));
        }
    }

    /// Addresses of a host in the order in which to try them: those that every program can use
    /// first, those that hold on one link last.
    pub fn addresses(&self, host: &Name, port: u16) -> Vec<SocketAddr> {
        let mut found: Vec<_> = self
            .facts
            .iter()
            .filter(|(record, _)| record.name == *host)
            .filter_map(|(record, interface)| address(&record.fact, *interface, port))
            .collect();
        found.sort_by_key(rank);
        found.dedup();
        found
    }

    /// The instances that are complete, in the order in which to try them.
    pub fn found(&self) -> Vec<Instance> {
        let Wanted::Service(service) = &self.wanted else {
            return Vec::new();
        };
        let mut found: Vec<_> = self
            .instances(service)
            .filter_map(|name| {
                let Server { order, port, host } = self.server(name)?;
                // Whoever answers may name any host; only of this network is it to be believed.
                let instance = Instance {
                    name: name.clone(),
                    host: host.host().filter(|_| host.is_local())?,
                    port,
                    addresses: self.addresses(host, port),
                };
                (!instance.addresses.is_empty()).then_some((order, instance))
            })
            .collect();
        found.sort_by(|(left, a), (right, b)| (left, &a.name).cmp(&(right, &b.name)));
        found.dedup_by(|(_, a), (_, b)| a.name == b.name);
        found.into_iter().map(|(_, instance)| instance).collect()
    }

    fn instances<'s>(&'s self, service: &'s Name) -> impl Iterator<Item = &'s Name> {
        self.facts
            .iter()
            .filter_map(|(record, _)| match &record.fact {
                Fact::Instance(name) if record.name == *service => Some(name),
                Fact::Instance(_) | Fact::Server { .. } | Fact::V4(_) | Fact::V6(_) => None,
            })
    }

    /// Where an instance is; of several places the one that comes first.
    fn server(&self, instance: &Name) -> Option<Server<'_>> {
        let servers = self
            .facts
            .iter()
            .filter_map(|(record, _)| match &record.fact {
                Fact::Server {
                    priority,
                    weight,
                    port,
                    host,
                } if record.name == *instance && *port != 0 => Some(Server {
                    order: (*priority, Reverse(*weight)),
                    port: *port,
                    host,
                }),
                Fact::Server { .. } | Fact::Instance(_) | Fact::V4(_) | Fact::V6(_) => None,
            });
        servers.min()
    }
}

/// Where an instance is; the fields in the order in which places are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Server<'s> {
    order: (u16, Reverse<u16>),
    port: u16,
    host: &'s Name,
}

/// Where to connect to, unless no host can have this address.
fn address(fact: &Fact, interface: u32, port: u16) -> Option<SocketAddr> {
    match fact {
        Fact::V4(v4) => {
            let is_host = !v4.is_unspecified() && !v4.is_multicast() && *v4 != Ipv4Addr::BROADCAST;
            is_host.then(|| SocketAddr::new(IpAddr::V4(*v4), port))
        }
        Fact::V6(v6) => {
            let is_host = !v6.is_unspecified() && !v6.is_multicast();
            let scope = if is_on_one_link(v6) { interface } else { 0 };
            is_host.then(|| SocketAddrV6::new(*v6, port, 0, scope).into())
        }
        Fact::Instance(_) | Fact::Server { .. } => None,
    }
}

/// `fe80::/10`, which means a host only together with an interface.
pub const fn is_on_one_link(v6: &Ipv6Addr) -> bool {
    v6.is_unicast_link_local()
}

fn rank(address: &SocketAddr) -> (u8, SocketAddr) {
    let class = match address.ip() {
        IpAddr::V4(v4) if v4.is_link_local() => 2,
        IpAddr::V4(_) => 0,
        IpAddr::V6(v6) if is_on_one_link(&v6) => 3,
        IpAddr::V6(_) => 1,
    };
    (class, *address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn at(host: &str, address: &str) -> Record {
        let fact = match address.parse().unwrap() {
            IpAddr::V4(v4) => Fact::V4(v4),
            IpAddr::V6(v6) => Fact::V6(v6),
        };
        Record {
            name: name(host),
            fact,
        }
    }

    fn instance(of: &str) -> Record {
        Record {
            name: name("_mqtt._tcp.local"),
            fact: Fact::Instance(name(of)),
        }
    }

    fn server(of: &str, (priority, weight): (u16, u16), host: &str) -> Record {
        Record {
            name: name(of),
            fact: Fact::Server {
                priority,
                weight,
                port: 1883,
                host: name(host),
            },
        }
    }

    fn browse() -> Search {
        Search::new(Wanted::Service(name("_mqtt._tcp.local")))
    }

    fn kinds(search: &Search) -> Vec<Kind> {
        search.questions().iter().map(|asked| asked.kind).collect()
    }

    #[test]
    fn addresses_that_every_program_can_use_come_first() {
        let mut search = Search::new(Wanted::Host(name("attic.local")));
        assert_eq!(kinds(&search), [Kind::A, Kind::Aaaa]);
        let heard = [
            "fe80::7",
            "169.254.1.1",
            "fd00::7",
            "192.168.1.7",
            "0.0.0.0",
            "224.0.0.1",
        ];
        search.take(heard.map(|text| at("attic.local", text)).into(), 3);
        search.take(
            vec![
                at("attic.local", "192.168.1.7"),
                at("cellar.local", "10.0.0.1"),
            ],
            4,
        );
        assert!(search.questions().is_empty());
        let shown = search.addresses(&name("attic.local"), 1883);
        let shown: Vec<_> = shown.iter().map(ToString::to_string).collect();
        let expected = [
            "192.168.1.7:1883",
            "[fd00::7]:1883",
            "169.254.1.1:1883",
            "[fe80::7%3]:1883",
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_an_answer_leaves_out_is_asked_next() {
        let mut search = browse();
        assert_eq!(kinds(&search), [Kind::Ptr]);
        search.take(vec![instance("a._mqtt._tcp.local")], 2);
        assert_eq!(kinds(&search), [Kind::Srv]);
        search.take(vec![server("a._mqtt._tcp.local", (0, 0), "attic.local")], 2);
        assert_eq!(kinds(&search), [Kind::A, Kind::Aaaa]);
        assert!(search.found().is_empty());
        search.take(vec![at("attic.local", "10.0.0.1")], 2);
        assert!(search.questions().is_empty());
        let found = search.found();
        assert_eq!(
            (found[0].host.as_str(), found[0].port),
            ("attic.local", 1883)
        );
    }

    #[test]
    fn priority_comes_before_weight_and_weight_before_the_name() {
        let mut search = browse();
        for (of, order) in [
            ("d", (1, 9)),
            ("c", (0, 0)),
            ("b", (0, 0)),
            ("a", (1, 9)),
            ("e", (0, 5)),
        ] {
            let (of, host) = (format!("{of}._mqtt._tcp.local"), format!("{of}.local"));
            search.take(
                vec![
                    instance(&of),
                    server(&of, order, &host),
                    at(&host, "10.0.0.1"),
                ],
                2,
            );
        }
        let hosts: Vec<_> = search.found().into_iter().map(|found| found.host).collect();
        assert_eq!(
            hosts,
            ["e.local", "b.local", "c.local", "a.local", "d.local"]
        );
    }

    #[test]
    fn a_host_outside_of_this_network_is_not_believed() {
        let mut search = browse();
        let of = "a._mqtt._tcp.local";
        let elsewhere = server(of, (0, 0), "broker.example.com");
        search.take(
            vec![
                instance(of),
                elsewhere,
                at("broker.example.com", "10.0.0.1"),
            ],
            2,
        );
        assert!(search.found().is_empty());
    }

    #[test]
    fn whoever_says_too_much_is_not_heard() {
        let mut search = browse();
        for number in 0..1000 {
            search.take(vec![instance(&format!("{number}._mqtt._tcp.local"))], 2);
        }
        assert_eq!(search.facts.len(), FACTS_MAX);
        assert_eq!(search.questions().len(), QUESTIONS_MAX);
    }
}
