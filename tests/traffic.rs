//! The agent, the ledger and its comparison against real Redis on this machine, with what can happen to one.

#[path = "traffic/machine.rs"]
mod machine;

use machine::{Redis, agent};
use nix::sys::signal::Signal;
use redis_conformance::traffic::{
    Answer, Endpoint, Fate, HttpRequest, Kind, Ledger, Limits, Load, Place, TrafficError, Value, Workload, WriteKind,
};
use rstest::rstest;
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const AOF: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];
const SOON: Duration = Duration::from_secs(20);

fn tenants() -> Workload {
    let places =
        vec![Place::new(0, "mcp:postgres:tenant:{}"), Place::new(1, "mcp:minio:tenant:{}"), Place::new(2, "mcp:pdf-generator:tenant:{}")];
    Workload { places, ..Workload::default() }
}

fn of_kind(kind: Kind) -> Workload {
    Workload { places: vec![Place::new(0, "ours:{}")], kind, ..Workload::default() }
}

fn reasons(ledger: &Ledger) -> BTreeSet<String> {
    let reason = |fate: &Fate| match fate {
        Fate::Acknowledged => None,
        Fate::Refused { reason } => Some(format!("refused: {reason}")),
        Fate::Unknown { reason } => Some(format!("unknown: {reason}")),
    };
    ledger.writes.iter().filter_map(|write| reason(&write.fate)).collect()
}

#[rstest]
#[case::strings(Kind::Strings)]
#[case::streams(Kind::Streams)]
#[case::mixed(Kind::Mixed)]
#[tokio::test]
async fn what_nobody_disturbs_is_kept(#[case] kind: Kind) {
    let (redis, client) = (Redis::start(&[]).await, agent().await);
    let workload = Workload { kind, ..tenants() };
    let ledger = client.write(&redis.endpoint(), workload.count(600)).await.expect("starts").finished().await.expect("ends");
    let comparison = client.compare(&ledger, &redis.endpoint()).await.expect("compares");
    assert_eq!((ledger.writes.len(), ledger.acknowledged(), comparison.kept), (600, 600, 600), "{comparison}");
    assert!(comparison.is_whole() && ledger.outage().is_none() && ledger.servers_at_once().is_empty());
    assert_eq!(ledger.writes.iter().map(|write| write.db).collect::<BTreeSet<_>>(), BTreeSet::from([0, 1, 2]));
    let of_streams =
        ledger.writes.iter().filter(|write| matches!(&write.kind, WriteKind::Acknowledge { entries, .. } if !entries.is_empty()));
    assert_eq!(of_streams.count() > 0, kind != Kind::Strings);
}

#[rstest]
#[case::strings(Kind::Strings)]
#[case::streams(Kind::Streams)]
#[case::mixed(Kind::Mixed)]
#[tokio::test]
async fn a_redis_that_appends_each_write_keeps_it_over_sigkill_in_the_midst_of_writing(#[case] kind: Kind) {
    let (mut redis, client) = (Redis::start(&AOF).await, agent().await);
    let writing = client.write(&redis.endpoint(), of_kind(kind)).await.expect("starts");
    writing.acknowledged(300, SOON).await.expect("writes");
    redis.end(Signal::SIGKILL).await;
    let mut progress = writing.progress();
    tokio::time::timeout(SOON, progress.wait_for(|progress| progress.refused > 0)).await.expect("in time").expect("runs");
    redis.run().await;
    let so_far = writing.progress().borrow().acknowledged;
    writing.acknowledged(so_far + 100, SOON).await.expect("writes again");
    let ledger = writing.stop().await.expect("ends");
    let comparison = client.compare(&ledger, &redis.endpoint()).await.expect("compares");
    assert!(comparison.is_whole(), "{comparison}\n{:#?}", comparison.differences);
    let outage = ledger.outage().expect("a dead Redis is missed");
    assert!(outage.recovered && outage.refused > 0 && outage.recovery_time().is_some(), "{outage}");
    // Each writer has at most one write on its way; afterwards only a handshake may still be cut.
    let cut = |fate: &Fate| matches!(fate, Fate::Unknown { reason } if !reason.ends_with("(handshake)"));
    assert!(ledger.writes.iter().filter(|write| cut(&write.fate)).count() <= 4, "{:?}", reasons(&ledger));
    let servers: BTreeSet<_> = ledger.writes.iter().filter_map(|write| write.run_id.clone()).collect();
    assert_eq!((servers.len(), ledger.servers_at_once().len()), (2, 0));
}

#[rstest]
#[case::strings(Kind::Strings)]
#[case::streams(Kind::Streams)]
#[case::mixed(Kind::Mixed)]
#[tokio::test]
async fn a_redis_without_persistence_loses_everything(#[case] kind: Kind) {
    let (mut redis, client) = (Redis::start(&[]).await, agent().await);
    let ledger = client.write(&redis.endpoint(), of_kind(kind).count(300)).await.expect("starts").finished().await.expect("ends");
    redis.end(Signal::SIGTERM).await;
    redis.run().await;
    let comparison = client.compare(&ledger, &redis.endpoint()).await.expect("compares");
    assert_eq!((comparison.acknowledged, comparison.kept, comparison.lost), (300, 0, 300), "{comparison}");
    assert_eq!(comparison.loss.expect("a loss").writes, 300);
}

#[tokio::test]
async fn a_snapshot_loses_what_came_after_it_and_the_recovery_point_says_how_much() {
    let (mut redis, client) = (Redis::start(&[]).await, agent().await);
    let workload = of_kind(Kind::Strings).keys(10);
    let mut ledger = client.write(&redis.endpoint(), workload.clone().count(100)).await.expect("starts").finished().await.expect("ends");
    client.command(&redis.endpoint(), &["SAVE"]).await.expect("saves");
    let writing = client.write(&redis.endpoint(), workload).await.expect("starts");
    writing.acknowledged(100, SOON).await.expect("writes");
    redis.end(Signal::SIGKILL).await;
    let later = writing.stop().await.expect("ends");
    let acknowledged_later = later.acknowledged();
    ledger.extend(later);
    redis.run().await;
    let comparison = client.compare(&ledger, &redis.endpoint()).await.expect("compares");
    assert_eq!((comparison.kept, comparison.lost), (100, acknowledged_later), "{comparison}");
    assert!(comparison.differences[0].detail.contains("the earlier"), "{comparison}");
    let outage = ledger.outage().expect("an outage").with_loss(&comparison);
    assert!(!outage.recovered && outage.recovery_point() > Duration::ZERO, "{outage}");
}

#[tokio::test]
async fn a_frozen_redis_leaves_writes_of_unknown_fate_and_takes_no_new_connection_for_a_refusal() {
    let (redis, client) = (Redis::start(&[]).await, agent().await);
    let workload = Workload { limits: Limits { connect_ms: 300, answer_ms: 300 }, ..of_kind(Kind::Strings) };
    let writing = client.write(&redis.endpoint(), workload).await.expect("starts");
    writing.acknowledged(50, SOON).await.expect("writes");
    redis.signal(Signal::SIGSTOP);
    let mut progress = writing.progress();
    tokio::time::timeout(SOON, progress.wait_for(|progress| progress.unknown >= 8)).await.expect("in time").expect("runs");
    redis.signal(Signal::SIGCONT);
    let so_far = writing.progress().borrow().acknowledged;
    writing.acknowledged(so_far + 50, SOON).await.expect("writes again");
    let ledger = writing.stop().await.expect("ends");
    assert!(reasons(&ledger).iter().all(|reason| reason.starts_with("unknown: no answer within 300ms")), "{:?}", reasons(&ledger));
    let comparison = client.compare(&ledger, &redis.endpoint()).await.expect("compares");
    assert!(comparison.is_whole() && comparison.unknown_kept + comparison.unknown_lost >= 8, "{comparison}");
    assert!(ledger.outage().is_some_and(|outage| outage.recovered && outage.refused == 0));
}

#[tokio::test]
async fn a_redis_that_was_never_written_to_has_kept_nothing() {
    let (written, other, client) = (Redis::start(&[]).await, Redis::start(&[]).await, agent().await);
    let ledger = client.write(&written.endpoint(), of_kind(Kind::Mixed).count(100)).await.expect("starts").finished().await.expect("ends");
    let comparison = client.compare(&ledger, &other.endpoint()).await.expect("compares");
    assert_eq!((comparison.kept, comparison.lost), (0, 100));
}

#[rstest]
#[case::none(None, "refused: NOAUTH")]
#[case::wrong(Some("wrong"), "refused: WRONGPASS")]
#[tokio::test]
async fn without_the_password_every_write_is_refused_and_nothing_is_proved(#[case] password: Option<&str>, #[case] reason: &str) {
    let (redis, client) = (Redis::start(&["--requirepass", "right/+="]).await, agent().await);
    let endpoint = Endpoint { password: password.map(Into::into), ..redis.endpoint() };
    let ledger = client.write(&endpoint, tenants().count(20)).await.expect("starts").finished().await.expect("ends");
    assert_eq!(ledger.acknowledged(), 0);
    assert!(reasons(&ledger).iter().all(|text| text.starts_with(reason)), "{:?}", reasons(&ledger));
    let right = Endpoint { password: Some("right/+=".into()), ..redis.endpoint() };
    assert!(client.command(&right, &["PING"]).await.expect("asks").is_pong());
    assert!(matches!(client.compare(&ledger, &right).await, Err(TrafficError::ProvesNothing { .. })));
}

#[tokio::test]
async fn a_database_without_an_acknowledged_write_proves_nothing_about_it() {
    let (redis, client) = (Redis::start(&["--databases", "2"]).await, agent().await);
    let ledger = client.write(&redis.endpoint(), tenants().count(30)).await.expect("starts").finished().await.expect("ends");
    assert!(ledger.writes.iter().all(|write| write.is_acknowledged() == (write.db < 2)), "{:?}", reasons(&ledger));
    let error = client.compare(&ledger, &redis.endpoint()).await.expect_err("database 2 is not there");
    assert!(matches!(error, TrafficError::ProvesNothing { db: 2, .. }) && error.to_string().contains("DB index"), "{error}");
}

#[tokio::test]
async fn a_full_redis_refuses_in_its_own_words_and_keeps_what_it_took() {
    let (redis, client) = (Redis::start(&["--maxmemory", "4mb", "--maxmemory-policy", "noeviction"]).await, agent().await);
    let tally = client.load(&redis.endpoint(), Load::set("fill:{}", 0..2000, 4096)).await.expect("loads");
    assert!(tally.acknowledged > 0 && tally.refused.keys().all(|text| text.starts_with("OOM")) && tally.refusals() > 0, "{tally:?}");
    assert_eq!(tally.acknowledged + tally.refusals(), 2000);
    let there = client.load(&redis.endpoint(), Load::command(&["EXISTS", "fill:{}"], 0..2000)).await.expect("asks");
    assert_eq!(there.hit_count(), tally.acknowledged);
    // One that would fit might come while a buffer has just been freed; these cannot all.
    let large = Workload { value_bytes: 64 * 1024, ..of_kind(Kind::Strings) };
    let ledger = client.write(&redis.endpoint(), large.count(100)).await.expect("starts").finished().await.expect("ends");
    let reasons = reasons(&ledger);
    assert!(!reasons.is_empty() && reasons.iter().all(|text| text.starts_with("refused: OOM")), "{reasons:?}");
}

#[tokio::test]
async fn a_replica_refuses_writes_in_its_own_words() {
    let (master, client) = (Redis::start(&[]).await, agent().await);
    let port = master.port.to_string();
    let replica = Redis::start(&["--replicaof", "127.0.0.1", &port]).await;
    let ledger = client.write(&replica.endpoint(), of_kind(Kind::Strings).count(8)).await.expect("starts").finished().await.expect("ends");
    assert!(
        reasons(&ledger).iter().all(|text| text.starts_with("refused: READONLY")) && ledger.acknowledged() == 0,
        "{:?}",
        reasons(&ledger)
    );
}

/// Answers each connection with fixed bytes, after it has been spoken to, and closes it.
async fn somebody_else(answer: &'static str) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 1024];
            if stream.read(&mut asked).await.is_ok() {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }
    });
    Endpoint::new("127.0.0.1", port)
}

#[rstest]
#[case::http("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", "not Redis' protocol")]
#[case::silence("", "the connection was closed")]
#[case::half_a_reply("$100\r\nredis_version:7", "in the middle of a reply")]
#[case::another_reply("+OK\r\n", "this is not Redis")]
#[tokio::test]
async fn somebody_who_is_not_redis_leaves_the_fate_unknown(#[case] answer: &'static str, #[case] reason: &str) {
    let (endpoint, client) = (somebody_else(answer).await, agent().await);
    let reply = client.command(&endpoint, &["SET", "k", "v"]).await.expect("asks");
    assert!(matches!(&reply.answer, Answer::Unknown(text) if text.contains(reason)), "{reply}");
    let ledger = client.write(&endpoint, of_kind(Kind::Strings).count(8)).await.expect("starts").finished().await.expect("ends");
    assert!(ledger.writes.iter().all(|write| matches!(write.fate, Fate::Unknown { .. })), "{:?}", reasons(&ledger));
}

#[rstest]
#[case::nobody_listens("127.0.0.1", "refused")]
#[case::no_such_name("nobody.invalid", "cannot connect")]
#[tokio::test]
async fn where_nobody_is_the_write_is_refused(#[case] host: &str, #[case] reason: &str) {
    let client = agent().await;
    let reply = client.command(&Endpoint::new(host, 1), &["PING"]).await.expect("asks");
    assert!(matches!(&reply.answer, Answer::Refused(text) if text.contains(reason)), "{reply}");
}

#[tokio::test]
async fn what_somebody_else_did_to_strings_is_told() {
    let (redis, client) = (Redis::start(&[]).await, agent().await);
    let at = redis.endpoint();
    let ledger = client.write(&at, of_kind(Kind::Strings).count(20)).await.expect("starts").finished().await.expect("ends");
    for command in [["SET", "ours:0", ""].as_slice(), &["DEL", "ours:1"], &["SET", "ours:77", "x"], &["SET", "ours:registered", "x"]] {
        client.command(&at, command).await.expect("asks");
    }
    client.command(&at, &["RENAME", "ours:3", "ours:2"]).await.expect("asks");
    let comparison = client.compare(&ledger, &at).await.expect("compares");
    // ours:0 is empty, which is not absent; ours:1 and ours:3 are gone; ours:2 has another key's value; ours:77 is nobody's.
    assert_eq!((comparison.kept, comparison.lost, comparison.changed, comparison.phantom), (16, 2, 2, 3), "{:#?}", comparison.differences);
}

#[tokio::test]
async fn an_empty_string_is_a_value() {
    let (redis, client) = (Redis::start(&[]).await, agent().await);
    let workload = Workload { template: String::new(), ..of_kind(Kind::Strings) };
    let ledger = client.write(&redis.endpoint(), workload.count(4)).await.expect("starts").finished().await.expect("ends");
    assert!(client.compare(&ledger, &redis.endpoint()).await.expect("compares").is_whole());
    client.command(&redis.endpoint(), &["DEL", "ours:0"]).await.expect("asks");
    let comparison = client.compare(&ledger, &redis.endpoint()).await.expect("compares");
    assert_eq!((comparison.kept, comparison.lost), (3, 1));
}

#[rstest]
#[case::entry_deleted(&["XDEL", "{key}", "{entry}"], "is not there")]
#[case::stranger_s_entry(&["XADD", "{key}", "*", "value", "x"], "no client was told")]
#[case::group_destroyed(&["XGROUP", "DESTROY", "{key}", "workers"], "the group is gone")]
#[case::stranger_s_group(&["XGROUP", "CREATE", "{key}", "others", "0"], "no client made it")]
#[case::group_set_back(&["XGROUP", "SETID", "{key}", "workers", "0"], "last delivered entry is 0-0")]
#[case::pending_acknowledged(&["XACK", "{key}", "workers", "{pending}"], "is not pending")]
#[case::stranger_s_delivery(&["XREADGROUP", "GROUP", "workers", "other", "STREAMS", "{key}", ">"], "delivered to nobody")]
#[case::stream_deleted(&["DEL", "{key}"], "the stream is gone")]
#[case::stream_replaced(&["SET", "{key}", "x"], "a string is there")]
#[tokio::test]
async fn what_somebody_else_did_to_a_stream_is_told(#[case] command: &[&str], #[case] told: &str) {
    let (redis, client) = (Redis::start(&[]).await, agent().await);
    let at = redis.endpoint();
    let workload = Workload { writers: 1, ..of_kind(Kind::Streams) };
    let ledger = client.write(&at, workload.count(50)).await.expect("starts").finished().await.expect("ends");
    assert!(client.compare(&ledger, &at).await.expect("compares").is_whole());
    let key = ledger.writes[0].key.as_str();
    let entry = ledger.writes.iter().find_map(|write| match &write.kind {
        WriteKind::Add { entry, .. } => *entry,
        _ => None,
    });
    let entry = entry.expect("an entry").to_string();
    let pending = client.command(&at, &["XPENDING", key, "workers", "-", "+", "1"]).await.expect("asks");
    let Answer::Value(Value::Array(pending)) = pending.answer else { panic!("{pending}") };
    let pending = pending[0].array().and_then(|entry| entry[0].text()).expect("something is pending");
    let words: Vec<&str> = command
        .iter()
        .map(|&word| match word {
            "{key}" => key,
            "{entry}" => &entry,
            "{pending}" => &pending,
            other => other,
        })
        .collect();
    client.command(&at, &words).await.expect("asks");
    let comparison = client.compare(&ledger, &at).await.expect("compares");
    assert!(!comparison.is_whole() && comparison.differences.iter().any(|difference| difference.detail.contains(told)), "{comparison:#?}");
    assert_eq!(comparison.kept + comparison.lost + comparison.changed, comparison.acknowledged);
}

#[tokio::test]
async fn an_agent_that_dies_leaves_an_incomplete_ledger_and_no_phantom() {
    let (redis, writer, client) = (Redis::start(&[]).await, agent().await, agent().await);
    let mut writer = writer;
    let writing = writer.write(&redis.endpoint(), of_kind(Kind::Mixed)).await.expect("starts");
    writing.acknowledged(300, SOON).await.expect("writes");
    writer.end().await;
    let ledger = writing.stop().await.expect("gives what it has");
    assert!(ledger.acknowledged() >= 300 && !ledger.workloads[0].complete);
    let comparison = client.compare(&ledger, &redis.endpoint()).await.expect("compares");
    assert_eq!((comparison.lost, comparison.changed, comparison.phantom), (0, 0, 0), "{comparison:#?}");
    assert!(matches!(writer.command(&redis.endpoint(), &["PING"]).await, Err(TrafficError::Ended { .. })));
}

#[tokio::test]
async fn long_values_are_compared_too() {
    let (redis, client) = (Redis::start(&[]).await, agent().await);
    let workload = Workload { value_bytes: 64 * 1024, ..of_kind(Kind::Strings) };
    let ledger = client.write(&redis.endpoint(), workload.count(40)).await.expect("starts").finished().await.expect("ends");
    assert!(client.compare(&ledger, &redis.endpoint()).await.expect("compares").is_whole());
    client.command(&redis.endpoint(), &["SETRANGE", "ours:5", "60000", "!"]).await.expect("asks");
    let comparison = client.compare(&ledger, &redis.endpoint()).await.expect("compares");
    assert_eq!((comparison.kept, comparison.changed, comparison.phantom), (39, 1, 1), "{comparison}");
}

#[tokio::test]
async fn replies_come_back_with_their_types_and_bytes() {
    let (redis, client) = (Redis::start(&[]).await, agent().await);
    let at = redis.endpoint().database(3);
    let script = "return {1, 'a', false, {err='MY error'}, redis.status_reply('FINE'), string.char(255)}";
    let reply = client.command(&at, &["EVAL", script, "0"]).await.expect("asks");
    let Answer::Value(Value::Array(values)) = &reply.answer else { panic!("{reply}") };
    assert_eq!(values[..3], [Value::Int(1), Value::Bytes("a".into()), Value::Nil]);
    assert_eq!(values[3..5], [Value::Error("MY error".into()), Value::Status("FINE".into())]);
    assert!(matches!(&values[5], Value::Bytes(bytes) if bytes.0 == [255]));
    assert!(reply.run_id.is_some_and(|id| id.len() == 40));
    assert!(client.command(&at, &["CLIENT", "INFO"]).await.expect("asks").to_string().contains("db=3"));
    assert!(
        matches!(client.command(&at, &["NOSUCH"]).await.expect("asks").answer, Answer::Refused(text) if text.starts_with("ERR unknown"))
    );
}

#[tokio::test]
async fn unread_replies_stay_in_redis_until_they_are_released() {
    let (redis, client) = (Redis::start(&[]).await, agent().await);
    let held = client.hold(&redis.endpoint(), 16 << 20).await.expect("holds");
    assert!(held.held >= 16 << 20 && held.broke.is_none(), "{held:?}");
    held.release().await.expect("releases");
    let refused = client.hold(&Endpoint::new("127.0.0.1", 1), 1).await.expect_err("nobody is there");
    assert!(matches!(refused, TrafficError::Agent { .. }), "{refused}");
}

#[tokio::test]
async fn a_client_asks_over_http_and_is_told_why_there_is_no_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/jobs", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut asked = vec![0; 4096];
        let length = stream.read(&mut asked).await.expect("a request");
        stream.write_all(b"HTTP/1.1 201 Created\r\nX-Id: 7\r\nContent-Length: 2\r\n\r\nhi").await.expect("an answer");
        String::from_utf8_lossy(&asked[..length]).into_owned()
    });
    let client = agent().await;
    let request = HttpRequest { method: "POST".into(), url: url.clone(), body: b"{}".to_vec(), ..HttpRequest::default() };
    let answer = client.http(&request).await.expect("asks").expect("is answered");
    assert_eq!((answer.status, answer.body.as_slice()), (201, b"hi".as_slice()));
    assert!(answer.headers.contains(&("x-id".into(), "7".into())));
    let asked = server.await.expect("serves");
    assert!(asked.starts_with("POST /jobs HTTP/1.1\r\n") && asked.contains("application/json") && asked.ends_with("\r\n\r\n{}"), "{asked}");
    let nobody = HttpRequest { url: "http://127.0.0.1:1/jobs".into(), ..request };
    let reason = client.http(&nobody).await.expect("asks").expect_err("nobody listens there");
    assert!(reason.contains("not connected"), "{reason}");
}
