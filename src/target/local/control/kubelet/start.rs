//! From a container's manifest to the specification of its process.

use super::{
    super::{
        super::runtime::{self, ContainerSpec, Root},
        addresses,
        cluster::Cluster,
        json::{list, text},
    },
    environment,
    expand::expand,
    security,
    volumes::{self, Volume},
};
use crate::{manifest::Quantity, target::image::Image};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// What a container of a pod is made from.
pub(super) struct Ingredients<'a> {
    pub(super) cluster: &'a Cluster,
    /// As it is now, its address included.
    pub(super) pod: &'a Value,
    pub(super) container: &'a Value,
    pub(super) image: &'a Image,
    pub(super) volumes: &'a BTreeMap<String, Volume>,
    pub(super) log: PathBuf,
}

/// The specification; the error is the kubelet's `CreateContainerConfigError`.
pub(super) fn specification(from: Ingredients<'_>) -> Result<ContainerSpec, String> {
    let Ingredients { cluster, pod, container, image, volumes, log } = from;
    let passwd = image.files.get(Path::new("/etc/passwd")).map(|(content, ..)| String::from_utf8_lossy(content).into_owned());
    let mut user = security::user(pod, container, image.user, passwd.as_deref())?;
    let single = runtime::facts().run_as_user.is_err();
    if single {
        user = (0, 0, Vec::new());
    }
    let mut environment = environment::of(&cluster.store, pod, container, &image.environment)?;
    let hostname = hostname(pod);
    if environment.get("HOSTNAME").is_none() {
        environment.set("HOSTNAME", &hostname);
    }
    let words = |field: &str| -> Vec<String> {
        let list = list(container, &format!("/{field}")).iter().filter_map(Value::as_str);
        list.map(|word| expand(word, &|name| environment.get(name))).collect()
    };
    let (command, arguments) = (words("command"), words("args"));
    let command = match (command.is_empty(), arguments.is_empty()) {
        (true, true) => [image.entrypoint.clone(), image.command.clone()].concat(),
        (true, false) => [image.entrypoint.clone(), arguments].concat(),
        (false, _) => [command, arguments].concat(),
    };
    if command.is_empty() {
        return Err("no command specified".into());
    }
    let mounts = volumes::mounts(container, volumes, &|name| environment.get(name))?;
    let context = &container["securityContext"];
    let mut root = Root {
        programs: image.programs.clone(),
        files: image.files.clone(),
        directories: image.directories.clone(),
        read_only: context["readOnlyRootFilesystem"] == true,
    };
    for (path, content) in network_files(pod, &hostname) {
        root.files.insert(PathBuf::from(path), (content.into_bytes(), 0o644, 0, 0));
    }
    let directory = match text(container, "/workingDir") {
        "" => image.directory.clone(),
        directory => PathBuf::from(directory),
    };
    let mounted = mounts.iter().any(|mount| directory.starts_with(&mount.target));
    if directory != Path::new("/") && !mounted {
        // As container engines: a working directory that is missing is made.
        root.directories.entry(directory.clone()).or_insert((0o755, 0, 0));
    }
    if single {
        for owner in root.directories.values_mut() {
            (owner.1, owner.2) = (0, 0);
        }
    }
    // What is mounted hides what the image has there.
    root.directories.retain(|path, _| !mounts.iter().any(|mount| mount.target == *path));
    let memory = container
        .pointer("/resources/limits/memory")
        .and_then(|limit| Quantity::of(limit).ok())
        .filter(|limit| !limit.is_negative())
        .map(Quantity::units);
    Ok(ContainerSpec {
        name: format!("{}-{}", text(pod, "/metadata/name"), text(container, "/name")),
        command,
        environment: environment.into_pairs(),
        directory,
        user,
        capabilities: security::capabilities(container),
        no_new_privileges: context["allowPrivilegeEscalation"] == false,
        root,
        mounts,
        memory,
        log,
    })
}

/// The pod's host name.
pub(super) fn hostname(pod: &Value) -> String {
    let own = text(pod, "/spec/hostname");
    let name = if own.is_empty() { text(pod, "/metadata/name") } else { own };
    name.chars().take(63).collect::<String>().trim_end_matches(['-', '.']).to_owned()
}

fn network_files(pod: &Value, hostname: &str) -> [(&'static str, String); 3] {
    let namespace = text(pod, "/metadata/namespace");
    let subdomain = text(pod, "/spec/subdomain");
    let own = if subdomain.is_empty() {
        hostname.to_owned()
    } else {
        format!("{hostname}.{subdomain}.{namespace}.svc.cluster.local\t{hostname}")
    };
    let mut hosts = format!(
        "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{}\t{own}\n",
        text(pod, "/status/podIP")
    );
    for alias in list(pod, "/spec/hostAliases") {
        hosts.push_str(&format!("{}\t{}\n", text(alias, "/ip"), texts(alias, "/hostnames").join("\t")));
    }
    [("/etc/hosts", hosts), ("/etc/hostname", format!("{hostname}\n")), ("/etc/resolv.conf", resolver(pod))]
}

/// `dnsPolicy` and `dnsConfig` as the resolver's file.
fn resolver(pod: &Value) -> String {
    let namespace = text(pod, "/metadata/namespace");
    let (mut servers, mut search, mut options) = match text(pod, "/spec/dnsPolicy") {
        "None" => (Vec::new(), Vec::new(), Vec::new()),
        // The node's own resolver; no node here has one.
        "Default" => (vec!["127.0.0.1".to_owned()], Vec::new(), Vec::new()),
        _ => (
            vec![addresses::DNS.to_string()],
            vec![format!("{namespace}.svc.cluster.local"), "svc.cluster.local".to_owned(), "cluster.local".to_owned()],
            vec!["ndots:5".to_owned()],
        ),
    };
    let config = &pod["spec"]["dnsConfig"];
    servers.extend(texts(config, "/nameservers"));
    search.extend(texts(config, "/searches"));
    for option in list(config, "/options") {
        let (name, value) = (text(option, "/name"), text(option, "/value"));
        options.retain(|other: &String| other.split(':').next() != Some(name));
        options.push(if value.is_empty() { name.to_owned() } else { format!("{name}:{value}") });
    }
    let line = |word: &str, values: &[String]| if values.is_empty() { String::new() } else { format!("{word} {}\n", values.join(" ")) };
    let servers: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    format!("{}{servers}{}", line("search", &search), line("options", &options))
}

fn texts(object: &Value, pointer: &str) -> Vec<String> {
    list(object, pointer).iter().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_may_change_how_it_resolves() {
        let config = json!({ "options": [{ "name": "ndots", "value": "1" }], "searches": ["example.org"] });
        let pod = json!({ "metadata": { "namespace": "n" }, "spec": { "dnsConfig": config } });
        assert_eq!(
            resolver(&pod),
            "search n.svc.cluster.local svc.cluster.local cluster.local example.org\nnameserver 10.96.0.10\noptions ndots:1\n"
        );
    }

    #[test]
    fn a_pod_with_a_subdomain_knows_its_full_name() {
        let pod = json!({ "metadata": { "name": "redis-0", "namespace": "n" }, "spec": { "hostname": "redis-0", "subdomain": "redis" }, "status": { "podIP": "10.244.0.2" } });
        let [(_, hosts), _, (_, resolver)] = network_files(&pod, &hostname(&pod));
        assert!(hosts.ends_with("10.244.0.2\tredis-0.redis.n.svc.cluster.local\tredis-0\n"));
        assert!(resolver.starts_with("search n.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.96.0.10\n"));
    }
}
