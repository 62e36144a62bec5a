//! The cluster's resolver: answers from [`Names`] by UDP and TCP, and asks nobody else.

use super::{Names, namespace::Namespaces};
use simple_dns::{
    CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE,
    rdata::{A, CNAME, PTR, RData, SRV},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinSet,
};

/// As in a cluster; nobody here caches longer.
const TTL_SECONDS: u32 = 5;
/// What a UDP answer may have without EDNS.
const UDP_LIMIT: usize = 512;
/// Aliases of aliases.
const ALIAS_LIMIT: usize = 8;
/// A TCP client that says nothing.
const IDLE: Duration = Duration::from_secs(10);

type Shared = Arc<RwLock<Arc<Names>>>;

/// Serves until the returned set is dropped.
pub(super) async fn start(hub: &Namespaces, at: SocketAddr, names: &Shared) -> io::Result<JoinSet<()>> {
    let (udp, tcp) = hub
        .inside(move || {
            let udp = std::net::UdpSocket::bind(at)?;
            udp.set_nonblocking(true)?;
            let tcp = std::net::TcpListener::bind(at)?;
            tcp.set_nonblocking(true)?;
            Ok((UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?))
        })
        .await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_udp(udp, Arc::clone(names)));
    tasks.spawn(serve_tcp(tcp, Arc::clone(names)));
    Ok(tasks)
}

fn current(names: &Shared) -> Arc<Names> {
    Arc::clone(&names.read().unwrap_or_else(PoisonError::into_inner))
}

async fn serve_udp(socket: UdpSocket, names: Shared) {
    let mut buffer = vec![0; 4096];
    let mut turn = 0;
    loop {
        // An error is about an earlier answer that nobody took (a pod that is gone); the next question is not affected.
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else { continue };
        turn += 1;
        if let Some(reply) = answer(&buffer[..length], &current(&names), turn, true)
            && let Err(error) = socket.send_to(&reply, from).await
        {
            tracing::debug!(%error, %from, "an answer of the resolver was not taken");
        }
    }
}

async fn serve_tcp(listener: TcpListener, names: Shared) {
    let mut clients = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                clients.spawn(serve_client(stream, Arc::clone(&names)));
            },
            Some(_) = clients.join_next() => {}
        }
    }
}

async fn serve_client(mut stream: TcpStream, names: Shared) {
    let mut turn = 0;
    while let Ok(Ok(length)) = tokio::time::timeout(IDLE, stream.read_u16()).await {
        let mut question = vec![0; usize::from(length)];
        if stream.read_exact(&mut question).await.is_err() {
            return;
        }
        turn += 1;
        let Some(reply) = answer(&question, &current(&names), turn, false) else { return };
        let Ok(length) = u16::try_from(reply.len()) else { return };
        let mut message = length.to_be_bytes().to_vec();
        message.extend(reply);
        if stream.write_all(&message).await.is_err() {
            return;
        }
    }
}

/// The reply to one message; `None` to what is no question. `turn` moves which address comes first.
fn answer(question: &[u8], names: &Names, turn: usize, udp: bool) -> Option<Vec<u8>> {
    let query = match Packet::parse(question) {
        Ok(query) => query,
        // A type that the parser does not know exists nowhere here; say so rather than let the client wait.
        Err(_) => return not_understood(question),
    };
    if query.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let limit = query.opt().map_or(UDP_LIMIT, |opt| usize::from(opt.udp_packet_size).max(UDP_LIMIT));
    let asked = query.questions.first()?.clone().into_owned();
    let recursion = query.has_flags(PacketFlag::RECURSION_DESIRED);
    let mut reply = query.into_reply();
    reply.answers.clear();
    reply.name_servers.clear();
    reply.additional_records.clear();
    reply.questions = vec![asked.clone()];
    reply.set_flags(PacketFlag::AUTHORITATIVE_ANSWER | PacketFlag::RECURSION_AVAILABLE);
    if recursion {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    let (records, exists) = records(&asked.qname.to_string().to_ascii_lowercase(), &asked.qname, asked.qtype, names, turn);
    reply.answers = records;
    *reply.rcode_mut() = if exists { RCODE::NoError } else { RCODE::NameError };
    let bytes = reply.build_bytes_vec_compressed().ok()?;
    if udp && bytes.len() > limit {
        reply.answers.clear();
        reply.set_flags(PacketFlag::TRUNCATION);
        return reply.build_bytes_vec_compressed().ok();
    }
    Some(bytes)
}

/// The question's header as a reply that says "not implemented".
fn not_understood(question: &[u8]) -> Option<Vec<u8>> {
    let header = question.get(..12)?;
    if header[2] & 0x80 != 0 {
        return None;
    }
    let mut reply = header.to_vec();
    reply[2] = 0x80 | (header[2] & 0x79);
    reply[3] = 0x84;
    reply[4..12].fill(0);
    Some(reply)
}

fn name<'a>(text: &str) -> Option<Name<'a>> {
    Name::new(text).ok().map(Name::into_owned)
}

fn record<'a>(of: &Name<'_>, data: RData<'a>) -> ResourceRecord<'a> {
    ResourceRecord::new(of.clone().into_owned(), CLASS::IN, TTL_SECONDS, data)
}

/// What there is, and whether the name exists at all: a name with other records, or above one with records, is empty, not unknown.
fn records<'a>(asked: &str, written: &Name<'_>, kind: QTYPE, names: &Names, turn: usize) -> (Vec<ResourceRecord<'a>>, bool) {
    let wants = |kind_of: TYPE| kind == QTYPE::TYPE(kind_of) || kind == QTYPE::ANY;
    let mut found = Vec::new();
    let mut current = asked.trim_end_matches('.').to_owned();
    let mut owner = written.clone().into_owned();
    for _ in 0..ALIAS_LIMIT {
        let Some(target) = names.aliases.get(&current) else { break };
        let Some(target_name) = name(target) else { break };
        found.push(record(&owner, RData::CNAME(CNAME(target_name.clone()))));
        if kind == QTYPE::TYPE(TYPE::CNAME) {
            return (found, true);
        }
        current = target.trim_end_matches('.').to_ascii_lowercase();
        owner = target_name;
    }
    if wants(TYPE::A)
        && let Some(addresses) = names.addresses.get(&current).filter(|addresses| !addresses.is_empty())
    {
        let first = turn % addresses.len();
        let (after, before) = addresses.split_at(first);
        found.extend(before.iter().chain(after).map(|address| record(&owner, RData::A(A::from(*address)))));
    }
    if wants(TYPE::SRV)
        && let Some(services) = names.services.get(&current)
    {
        found.extend(services.iter().filter_map(|(port, target)| {
            let target = name(target)?;
            Some(record(&owner, RData::SRV(SRV { priority: 0, weight: 100, port: *port, target })))
        }));
    }
    if wants(TYPE::PTR)
        && let Some(address) = reverse(&current)
    {
        let of = names.addresses.iter().filter(|(_, addresses)| addresses.contains(&address));
        found.extend(of.filter_map(|(of, _)| Some(record(&owner, RData::PTR(PTR(name(of)?))))));
    }
    let exists = !found.is_empty() || exists(asked.trim_end_matches('.'), names);
    (found, exists)
}

fn exists(asked: &str, names: &Names) -> bool {
    let below = format!(".{asked}");
    let known = |known: &String| known == asked || known.ends_with(&below);
    names.addresses.keys().any(known)
        || names.services.keys().any(known)
        || names.aliases.keys().any(known)
        || reverse(asked).is_some_and(|address| names.addresses.values().flatten().any(|known| *known == address))
}

/// The address that a name under `in-addr.arpa` stands for.
fn reverse(name: &str) -> Option<Ipv4Addr> {
    let mut octets: Vec<u8> = name.strip_suffix(".in-addr.arpa")?.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    octets.reverse();
    <[u8; 4]>::try_from(octets).ok().map(Ipv4Addr::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use simple_dns::{QCLASS, Question};

    fn names() -> Names {
        let redis = "redis.shop.svc.cluster.local".to_owned();
        Names {
            addresses: [
                (redis.clone(), vec![Ipv4Addr::new(10, 96, 0, 20)]),
                ("many.shop.svc.cluster.local".into(), (1..=60).map(|n| Ipv4Addr::new(10, 244, 0, n)).collect()),
                ("none.shop.svc.cluster.local".into(), vec![]),
            ]
            .into(),
            services: [("_redis._tcp.redis.shop.svc.cluster.local".into(), vec![(6379, redis.clone())])].into(),
            aliases: [("cache.shop.svc.cluster.local".into(), redis), ("out.shop.svc.cluster.local".into(), "example.org".into())].into(),
        }
    }

    fn ask(name: &str, kind: TYPE, udp: bool) -> Packet<'static> {
        let mut query = Packet::new_query(7);
        query.questions.push(Question::new(Name::new_unchecked(name).into_owned(), kind.into(), QCLASS::CLASS(CLASS::IN), false));
        let bytes = query.build_bytes_vec().expect("a question can be written");
        let reply = answer(&bytes, &names(), 0, udp).expect("a question is answered");
        Packet::parse(reply.leak()).expect("the answer can be read")
    }

    #[rstest]
    #[case("redis.shop.svc.cluster.local", TYPE::A, RCODE::NoError, 1)]
    #[case("REDIS.Shop.svc.cluster.local", TYPE::A, RCODE::NoError, 1)]
    #[case("redis.shop.svc.cluster.local", TYPE::AAAA, RCODE::NoError, 0)]
    #[case("none.shop.svc.cluster.local", TYPE::A, RCODE::NoError, 0)]
    #[case("shop.svc.cluster.local", TYPE::A, RCODE::NoError, 0)]
    #[case("redis", TYPE::A, RCODE::NameError, 0)]
    #[case("redis.shop.svc.cluster.local.shop.svc.cluster.local", TYPE::A, RCODE::NameError, 0)]
    #[case("cache.shop.svc.cluster.local", TYPE::A, RCODE::NoError, 2)]
    #[case("out.shop.svc.cluster.local", TYPE::A, RCODE::NoError, 1)]
    #[case("_redis._tcp.redis.shop.svc.cluster.local", TYPE::SRV, RCODE::NoError, 1)]
    #[case("20.0.96.10.in-addr.arpa", TYPE::PTR, RCODE::NoError, 1)]
    #[case("21.0.96.10.in-addr.arpa", TYPE::PTR, RCODE::NameError, 0)]
    fn names_are_known_empty_or_unknown(#[case] name: &str, #[case] kind: TYPE, #[case] code: RCODE, #[case] count: usize) {
        let reply = ask(name, kind, true);
        assert_eq!((reply.rcode(), reply.answers.len()), (code, count));
    }

    #[test]
    fn what_does_not_fit_into_a_datagram_is_had_by_tcp() {
        let short = ask("many.shop.svc.cluster.local", TYPE::A, true);
        assert!(short.has_flags(PacketFlag::TRUNCATION) && short.answers.is_empty());
        assert_eq!(ask("many.shop.svc.cluster.local", TYPE::A, false).answers.len(), 60);
    }

    #[rstest]
    #[case(&[])]
    #[case(&[0; 5])]
    #[case(&[0xff; 40])]
    #[case(&[0, 1, 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0])]
    fn nonsense_gets_no_answer_and_does_no_harm(#[case] bytes: &[u8]) {
        assert_eq!(answer(bytes, &names(), 0, true), None);
    }
}
