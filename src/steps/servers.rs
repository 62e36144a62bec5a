//! Phrases about the servers that share a Redis: their databases, ports and the table that says which.

use super::{Failure, Step, World};
use crate::{
    manifest::{ManifestSet, Object, ObjectKey, Place, Roles, Workload},
    runbook::{Document, Row},
    traffic::{Endpoint, Secret},
};
use cucumber::{gherkin, then, when};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

#[then(expr = "the table in {string} reads")]
async fn the_table_reads(world: &mut World, step: &gherkin::Step, name: String) -> Step {
    let (path, text) = world.tree_file(&name).await?;
    let expected = rows(step)?;
    let header = expected.first().cloned().unwrap_or_default();
    let markdown = Document::parse(&text, &path);
    let columns: Vec<&str> = header.iter().map(String::as_str).collect();
    let Some(table) = markdown.table(&columns) else {
        return Err(Failure::violated(format!("{} has no table with the columns {}", path.display(), header.join(", "))));
    };
    for row in &expected[1..] {
        let cell = |found: &Row, column: &str| table.column(column).map(|column| found.cell(column).to_owned()).unwrap_or_default();
        let Some(found) = table.rows.iter().find(|found| cell(found, columns[0]) == row[0]) else {
            return Err(Failure::violated(format!("{} has no row for {}", path.display(), row[0])));
        };
        for (column, expected) in columns.iter().zip(row) {
            let says = cell(found, column);
            if says != *expected {
                return Err(Failure::violated(format!(
                    "{} says {says} under {column} for {} where the document says {expected}",
                    found.place, row[0]
                )));
            }
        }
    }
    // What the document's rows say is no help where another row says the same of another server.
    for column in columns.iter().filter_map(|column| table.column(column)) {
        let mut seen: BTreeMap<&str, &Row> = BTreeMap::new();
        for row in table.rows.iter().filter(|row| row.cell(column).bytes().any(|byte| byte.is_ascii_alphanumeric())) {
            let cell = row.cell(column);
            if cell.eq_ignore_ascii_case("n/a") || cell.eq_ignore_ascii_case("none") {
                continue;
            }
            if let Some(other) = seen.insert(cell, row) {
                return Err(Failure::violated(format!("{} says {cell} a second time, after {}", row.place, other.place)));
            }
        }
    }
    Ok(())
}

#[then(expr = "the next available database in {string} is {int}")]
async fn the_next_available_is(world: &mut World, name: String, expected: u64) -> Step {
    let (path, text) = world.tree_file(&name).await?;
    let said = text.lines().enumerate().find_map(|(line, words)| {
        let words = words.to_lowercase();
        let (_, after) = words.split_once("next available")?;
        let digits: String = after.chars().skip_while(|letter| !letter.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok().map(|number| (line + 1, number))
    });
    let Some((line, number)) = said else {
        return Err(Failure::violated(format!("{} does not say which number is the next available", path.display())));
    };
    if number != expected {
        let place = Place { line: line as u64, ..Place::of_file(&path) };
        return Err(Failure::violated_at(place, format!("the next is said to be {number}, where the document says {expected}")));
    }
    // The page must not contradict itself.
    let markdown = Document::parse(&text, &path);
    let taken = markdown.table(&["Redis DB"]).and_then(|table| {
        let column = table.column("Redis DB")?;
        table.rows.iter().find(|row| row.cell(column).trim().parse() == Ok(number))
    });
    if let Some(row) = taken {
        return Err(Failure::violated_at(
            row.place.clone(),
            format!("{number} is said to be the next available, and the table gives it away"),
        ));
    }
    let taken: Vec<u64> = databases(world.set()?.as_ref()).into_iter().filter_map(|server| server.database).collect();
    if taken.contains(&number) {
        return Err(Failure::violated_at(
            Place { line: line as u64, ..Place::of_file(&path) },
            format!("{number} is not available: a server uses it already"),
        ));
    }
    Ok(())
}

fn rows(step: &gherkin::Step) -> Step<Vec<Vec<String>>> {
    step.table.as_ref().map(|table| table.rows.clone()).ok_or_else(|| Failure::broken("this phrase needs a table"))
}

/// A server as its manifests configure it.
#[derive(Clone, Debug)]
struct Server {
    workload: Object,
    ports: Vec<u64>,
    database: Option<u64>,
    /// Where its number is set; else where it begins.
    place: Place,
    /// Where its environment says that Redis is.
    redis: Where,
}

/// A server's own words about Redis; what is missing has the document's default.
#[derive(Clone, Debug, Default)]
struct Where {
    host: Option<String>,
    port: Option<u16>,
    password: Option<String>,
}

/// Every workload that is reached through a Service and is not Redis itself, with its database number.
fn databases(set: &ManifestSet) -> Vec<Server> {
    let roles = Roles::of(set);
    set.workloads()
        .filter(|workload| roles.redis.iter().all(|redis| redis.id.workload != workload.object.key()))
        .map(|workload| {
            let (database, place) = database(set, &workload).unzip();
            let place = place.unwrap_or_else(|| workload.object.place.clone());
            Server { ports: ports(set, &workload), database, place, redis: redis_of(set, &workload), workload: workload.object.clone() }
        })
        .filter(|server| !server.ports.is_empty())
        .collect()
}

fn listed(places: &[Place]) -> String {
    places.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
}

/// The ports of the Services that select the workload's pods.
fn ports(set: &ManifestSet, workload: &Workload<'_>) -> Vec<u64> {
    services(set, workload).flat_map(|service| service.items_at("/spec/ports").filter_map(|(_, port)| port["port"].as_u64())).collect()
}

/// The first Service that leads to the workload, with its port.
pub(super) fn ports_of(set: &ManifestSet, workload: &ObjectKey) -> Option<(ObjectKey, u64)> {
    let workload = set.get(workload).and_then(Workload::of)?;
    services(set, &workload).next().and_then(|service| Some((service.key(), service.items_at("/spec/ports").next()?.1["port"].as_u64()?)))
}

/// The Services that select the workload's pods.
pub(super) fn services<'set>(set: &'set ManifestSet, workload: &Workload<'set>) -> impl Iterator<Item = &'set Object> {
    let (labels, namespace) = (workload.labels(), workload.object.namespace().to_owned());
    set.of_kind("Service").filter(move |service| {
        let selector = service.at("/spec/selector").and_then(Value::as_object);
        let selects = |selector: &serde_json::Map<String, Value>| {
            !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        service.namespace() == namespace && selector.is_some_and(selects)
    })
}

/// What the environment of the workload's containers gives a name, and where.
fn variable(set: &ManifestSet, workload: &Workload<'_>, name: &str) -> Option<(String, Place)> {
    workload.containers().filter(|container| !container.init).find_map(|container| {
        let variable = set.environment(&container).into_iter().find(|variable| variable.name == name)?;
        Some((variable.value?, variable.place))
    })
}

/// The database number that the server's environment gives it, alone or at the end of an address, and where.
fn database(set: &ManifestSet, workload: &Workload<'_>) -> Option<(u64, Place)> {
    let alone = variable(set, workload, "REDIS_DB").and_then(|(number, place)| Some((number.trim().parse().ok()?, place)));
    alone.or_else(|| {
        let (address, place) = variable(set, workload, "REDIS_URL")?;
        Some((address.parse::<Endpoint>().ok()?.db.into(), place))
    })
}

/// Where the server's environment says that Redis is.
fn redis_of(set: &ManifestSet, workload: &Workload<'_>) -> Where {
    if let Some(address) = variable(set, workload, "REDIS_URL").and_then(|(address, _)| address.parse::<Endpoint>().ok()) {
        return Where {
            host: Some(address.host),
            port: Some(address.port),
            password: address.password.map(|password| password.expose().to_owned()),
        };
    }
    Where {
        host: variable(set, workload, "REDIS_HOST").map(|(host, _)| host),
        port: variable(set, workload, "REDIS_PORT").and_then(|(port, _)| port.trim().parse().ok()),
        password: variable(set, workload, "REDIS_PASSWORD").map(|(password, _)| password).filter(|password| !password.is_empty()),
    }
}

#[then("the servers use these databases")]
async fn the_servers_use_these_databases(world: &mut World, step: &gherkin::Step) -> Step {
    let servers = databases(world.set()?.as_ref());
    for row in &rows(step)?[1..] {
        let port: u64 = row[0].parse().map_err(|_| Failure::broken(format!("{} is no port", row[0])))?;
        let Some(server) = servers.iter().find(|server| server.ports.contains(&port)) else {
            return Err(Failure::violated(format!("no Service leads to a server on port {port}")));
        };
        let database = server.database.map_or_else(|| "none".to_owned(), |number| number.to_string());
        if database != row[1] {
            return Err(Failure::violated_at(
                server.place.clone(),
                format!("{} on port {port} uses database {database} where the document says {}", server.workload.key(), row[1]),
            ));
        }
        let set = world.set()?;
        let Some(workload) = Workload::of(&server.workload) else { continue };
        if let Some((listens, place)) = variable(set.as_ref(), &workload, "MCP_PORT")
            && !targets(&services(set.as_ref(), &workload).collect::<Vec<_>>(), &workload, port)
                .iter()
                .any(|target| target.to_string() == listens.trim())
        {
            let name = server.workload.key();
            return Err(Failure::violated_at(place, format!("the Service on port {port} leads past {name}, whose MCP_PORT is {listens}")));
        }
    }
    let mut users: BTreeMap<u64, String> = BTreeMap::new();
    for server in &servers {
        for port in server.ports.iter().copied().collect::<BTreeSet<u64>>() {
            let name = server.workload.key().to_string();
            if let Some(other) = users.insert(port, name.clone()) {
                return Err(Failure::violated(format!("port {port} is used by {other} and {name}")));
            }
        }
    }
    Ok(())
}

/// The ports of the pod to which a port of these Services leads.
pub(super) fn targets(services: &[&Object], workload: &Workload<'_>, port: u64) -> Vec<u64> {
    let named = |name: &str| workload.containers().filter(|container| !container.init).find_map(|container| container.port_named(name));
    services
        .iter()
        .flat_map(|service| service.items_at("/spec/ports").map(|(_, entry)| entry).collect::<Vec<_>>())
        .filter(|entry| entry["port"].as_u64() == Some(port))
        .filter_map(|entry| match &entry["targetPort"] {
            Value::Null => Some(port),
            Value::String(name) => named(name).map(u64::from),
            number => number.as_u64(),
        })
        .collect()
}

#[then("no two servers share a database")]
async fn no_two_servers_share_a_database(world: &mut World) -> Step {
    let mut users: BTreeMap<u64, Vec<Server>> = BTreeMap::new();
    for server in databases(world.set()?.as_ref()) {
        if let Some(number) = server.database {
            users.entry(number).or_default().push(server);
        }
    }
    if users.is_empty() {
        return Err(Failure::violated("no server has a database number"));
    }
    match users.iter().find(|(_, users)| users.len() > 1) {
        Some((number, users)) => {
            let named: Vec<String> = users.iter().map(|server| format!("{} ({})", server.workload.key(), server.place)).collect();
            let failure = Failure::violated(format!("database {number} is used by {}", named.join(" and ")));
            Err(failure.standing_at(users.iter().map(|server| server.place.clone())))
        }
        None => Ok(()),
    }
}

#[when("each server's tenants are written to the database that it is configured for")]
async fn each_server_s_tenants_are_written(world: &mut World) -> Step {
    let all: Vec<Server> = databases(world.set()?.as_ref()).into_iter().filter(|server| server.database.is_some()).collect();
    if all.len() < 2 {
        return Err(Failure::violated(format!("{} servers have a database number, and isolation needs two", all.len())));
    }
    let servers: Vec<(String, u64)> =
        all.iter().filter_map(|server| server.database.map(|number| (server.workload.key().name, number))).collect();
    for ((server, database), words) in servers.iter().zip(&all) {
        // As the server itself would: by its own words, and from its namespace.
        let Where { host, port, password } = words.redis.clone();
        let mut host = host.unwrap_or_else(|| "redis".into());
        let namespace = words.workload.namespace();
        if !host.contains('.') && namespace != world.redis()?.workload.namespace {
            host = format!("{host}.{namespace}");
        }
        if let Some(password) = &password {
            world.evidence().secret(password);
        }
        let db = u32::try_from(*database).map_err(|_| Failure::violated(format!("{server} has the database number {database}")))?;
        let endpoint = Endpoint { host, port: port.unwrap_or(6379), db, password: password.map(Secret::from), ..Endpoint::default() };
        for tenant in 0..20 {
            let key = format!("{server}:tenant:{tenant}");
            let answer = world.command(&endpoint, &["SET", &key, server]).await?;
            if answer != Value::String("OK".into()) {
                return Err(Failure::broken(format!("SET {key} answers {answer}")));
            }
        }
    }
    world.data.servers = servers;
    Ok(())
}

#[then("no server sees the keys of another")]
async fn no_server_sees_the_keys_of_another(world: &mut World) -> Step {
    let servers = world.data.servers.clone();
    if servers.is_empty() {
        return Err(Failure::broken("no server's keys were written by an earlier step"));
    }
    for (server, database) in &servers {
        let endpoint = world.endpoint(*database).await?;
        let keys = world.command(&endpoint, &["KEYS", "*"]).await?;
        let keys: Vec<&str> = keys.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let own = keys.iter().filter(|key| key.starts_with(&format!("{server}:"))).count();
        if own != 20 {
            return Err(Failure::violated(format!("{server} sees {own} of its own 20 keys in database {database}")));
        }
        let foreign = servers
            .iter()
            .filter(|(other, _)| other != server)
            .find_map(|(other, _)| keys.iter().find(|key| key.starts_with(&format!("{other}:"))));
        if let Some(key) = foreign {
            let places = databases(world.set()?.as_ref()).into_iter().filter(|other| other.database == Some(*database));
            let places: Vec<Place> = places.map(|other| other.place).collect();
            let text = format!("{server} sees {key} in database {database}, which is set at {}", listed(&places));
            return Err(Failure::violated(text).standing_at(places));
        }
    }
    Ok(())
}
