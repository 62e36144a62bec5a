//! Phrases about the servers that share a Redis: their databases, ports and the table that says which.

use super::{Failure, Step, World};
use crate::{
    manifest::{ManifestSet, Object, ObjectKey, Place, Roles, Workload},
    runbook::{Document, Row},
};
use cucumber::{gherkin, then, when};
use serde_json::Value;
use std::collections::BTreeMap;

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
}

/// Every workload that is reached through a Service and is not Redis itself, with its database number.
fn databases(set: &ManifestSet) -> Vec<Server> {
    let roles = Roles::of(set);
    set.workloads()
        .filter(|workload| roles.redis.iter().all(|redis| redis.id.workload != workload.object.key()))
        .map(|workload| {
            let (database, place) = database(set, &workload).unzip();
            let place = place.unwrap_or_else(|| workload.object.place.clone());
            Server { ports: ports(set, &workload), database, place, workload: workload.object.clone() }
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
fn services<'set>(set: &'set ManifestSet, workload: &Workload<'set>) -> impl Iterator<Item = &'set Object> {
    let (labels, namespace) = (workload.labels(), workload.object.namespace().to_owned());
    set.of_kind("Service").filter(move |service| {
        let selector = service.at("/spec/selector").and_then(Value::as_object);
        let selects = |selector: &serde_json::Map<String, Value>| {
            !selector.is_empty() && selector.iter().all(|(name, value)| labels.get(name) == Some(value))
        };
        service.namespace() == namespace && selector.is_some_and(selects)
    })
}

/// The database number that the server's environment gives it, and where.
fn database(set: &ManifestSet, workload: &Workload<'_>) -> Option<(u64, Place)> {
    workload.containers().filter(|container| !container.init).find_map(|container| {
        let variable = set.environment(&container).into_iter().find(|variable| variable.name == "REDIS_DB")?;
        Some((variable.value?.trim().parse().ok()?, variable.place))
    })
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
            return Err(Failure::violated_at(server.place.clone(), format!("{} on port {port} uses database {database} where the document says {}", server.workload.key(), row[1])));
        }
    }
    Ok(())
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
    let servers: Vec<(String, u64)> = databases(world.set()?.as_ref())
        .into_iter()
        .filter_map(|server| server.database.map(|number| (server.workload.key().name, number)))
        .collect();
    if servers.len() < 2 {
        return Err(Failure::violated(format!("{} servers have a database number, and isolation needs two", servers.len())));
    }
    for (server, database) in &servers {
        let endpoint = world.endpoint(*database).await?;
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
