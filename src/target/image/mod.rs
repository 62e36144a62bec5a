//! What stands for a container image on this machine: which programs, which defaults.

pub mod archive;
mod entrypoint;
mod multicall;
mod reference;
pub(in crate::target) mod skeleton;

use crate::{
    manifest::ImageRef,
    target::{Capability, Unsupported},
};
pub use multicall::{GLUTTON, PAUSE, multicall};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

/// The image of the client pod: this very program.
pub const CLIENT_IMAGE: &str = "redis-conformance-client";
/// The uid of `redis` in the official images.
const REDIS: u32 = 999;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The official image's programs; all but the server may be missing.
const REDIS_PROGRAMS: &[&str] = &["redis-cli", "redis-benchmark", "redis-check-aof", "redis-check-rdb"];
/// Where the real server lies in a container; `/usr/local/bin/redis-server` is ours. Beneath the programs' own directory.
const REAL: &str = "../share/redis-server";
const REAL_SENTINEL: &str = "../share/redis-sentinel";
/// Images of this repository's own manifests, and the fixture program that stands for each.
const FIXTURES: &[(&str, &str)] = &[("agentsmith-dispatcher", "redis-conformance-dispatcher")];

/// What a container of an image begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// Programs in `/usr/local/bin`, name → path on this machine.
    pub programs: BTreeMap<String, PathBuf>,
    /// `ENTRYPOINT`.
    pub entrypoint: Vec<String>,
    /// `CMD`.
    pub command: Vec<String>,
    /// `ENV`.
    pub environment: Vec<(String, String)>,
    /// `WORKDIR`.
    pub directory: PathBuf,
    /// `USER`: uid and gid.
    pub user: (u32, u32),
    /// Directories that it brings, path → (mode, uid, gid); `VOLUME`s among them, new for each container.
    pub directories: BTreeMap<PathBuf, (u32, u32, u32)>,
    /// Files that it brings, path → (content, mode, uid, gid).
    pub files: BTreeMap<PathBuf, (Vec<u8>, u32, u32, u32)>,
    /// The fixture program that stands for the image, if one does.
    pub fixture: Option<&'static str>,
}

impl Image {
    /// The fixture as reports name it: `dispatcher`.
    #[must_use]
    pub fn fixture_name(&self) -> Option<&'static str> {
        self.fixture.map(|program| program.trim_start_matches("redis-conformance-"))
    }
}

/// What stands for images.
#[derive(Clone, Debug)]
pub struct Programs {
    own: PathBuf,
    redis: Result<Redis, String>,
    chosen: Vec<(String, PathBuf)>,
}

#[derive(Clone, Debug)]
struct Redis {
    server: PathBuf,
    version: String,
    others: BTreeMap<String, PathBuf>,
}

impl Programs {
    /// Looks for `redis-server` and its companions in PATH and asks for the version; blocks for some milliseconds.
    #[must_use]
    pub fn find() -> Self {
        let own = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
        Self { own, redis: find_redis(), chosen: Vec::new() }
    }

    /// What is found here, and before it what a config file names: image → program.
    #[must_use]
    pub fn configured(images: &BTreeMap<String, PathBuf>) -> Self {
        images.iter().fold(Self::find(), |programs, (image, program)| programs.with(image, program))
    }

    /// Nothing stands for anything.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { own: PathBuf::new(), redis: Err("none".into()), chosen: Vec::new() }
    }

    /// Lets `program`, by its path or its name in PATH, stand for the images that `pattern` (`registry/name:tag`, with `*`) matches; it is
    /// started without arguments of its own.
    #[must_use]
    pub fn with(mut self, pattern: impl Into<String>, program: impl Into<PathBuf>) -> Self {
        let program = program.into();
        let found = if program.components().count() == 1 { which::which(&program).ok() } else { None };
        self.chosen.push((pattern.into(), found.unwrap_or(program)));
        self
    }

    /// The version of the local `redis-server`: `7.0.15`.
    ///
    /// # Errors
    /// Unsupported, with the remedy, where there is none.
    pub fn redis_version(&self) -> Result<&str, Unsupported> {
        match &self.redis {
            Ok(redis) => Ok(&redis.version),
            Err(reason) => Err(Unsupported { capability: Capability::Program("redis".into()), reason: reason.clone() }),
        }
    }

    /// Whether the image is the official Redis image, by whatever registry.
    #[must_use]
    pub fn is_redis(image: &str) -> bool {
        reference::is_official_redis(&ImageRef::parse(image))
    }

    /// What stands for the image.
    ///
    /// # Errors
    /// Unsupported, with the remedy, where nothing does.
    pub fn image(&self, image: &str) -> Result<Image, Unsupported> {
        let reference = ImageRef::parse(image);
        if let Some((_, program)) = self.chosen.iter().find(|(pattern, _)| reference::fits(&reference, pattern)) {
            return Ok(plain(program, Vec::new()));
        }
        if reference::repository(&reference) == CLIENT_IMAGE {
            let name = "redis-conformance".to_owned();
            let programs = BTreeMap::from([(name.clone(), self.own.clone())]);
            return Ok(Image { programs, entrypoint: vec![name], command: vec![PAUSE.into()], ..base() });
        }
        if let Some((_, fixture)) = FIXTURES.iter().find(|(name, _)| reference::repository(&reference) == *name)
            && let Some(program) = self.beside(fixture)
        {
            return Ok(Image { fixture: Some(fixture), ..plain(&program, Vec::new()) });
        }
        if reference::is_official_redis(&reference) {
            return match &self.redis {
                Ok(redis) => Ok(official(redis, &self.own, reference.tag.is_some_and(|tag| tag.contains("alpine")))),
                Err(reason) => Err(Unsupported { capability: Capability::Program(image.to_owned()), reason: reason.clone() }),
            };
        }
        let reason =
            format!("nothing here stands for it; name a program in redis-conformance.yaml:\n  images:\n    \"{image}\": /path/to/program");
        Err(Unsupported { capability: Capability::Program(image.to_owned()), reason })
    }

    /// A program of the same build, beside this one or (from a test) one level up.
    fn beside(&self, name: &str) -> Option<PathBuf> {
        let places = self.own.ancestors().skip(1).take(2);
        places.map(|place| place.join(name)).find(|path| path.is_file())
    }
}

fn find_redis() -> Result<Redis, String> {
    let server = which::which("redis-server").map_err(|_| {
        "there is no redis-server in PATH (Debian, Ubuntu: apt-get install redis-server; Fedora: dnf install redis; Arch: pacman -S redis)".to_owned()
    })?;
    let output = Command::new(&server).arg("--version").output().map_err(|error| format!("{} --version: {error}", server.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = text.split_whitespace().find_map(|word| word.strip_prefix("v=")).map(str::to_owned);
    let version = version.ok_or_else(|| format!("{} --version does not say its version: {}", server.display(), text.trim()))?;
    let beside = |name: &str| server.parent().map(|directory| directory.join(name)).filter(|path| path.is_file());
    let others = REDIS_PROGRAMS.iter().filter_map(|name| Some(((*name).to_owned(), beside(name).or_else(|| which::which(name).ok())?)));
    Ok(Redis { others: others.collect(), server, version })
}

fn base() -> Image {
    Image { environment: vec![("PATH".into(), PATH.into())], directory: PathBuf::from("/"), ..Image::default() }
}

fn plain(program: &Path, command: Vec<String>) -> Image {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Image { programs: BTreeMap::from([(name.clone(), program.to_owned())]), entrypoint: vec![name], command, ..base() }
}

/// The official image: entry point, server without protected mode, `/data`.
fn official(redis: &Redis, own: &Path, alpine: bool) -> Image {
    let group = if alpine { 1000 } else { 999 };
    let mut programs = redis.others.clone();
    for name in [entrypoint::NAME, "redis-server", "redis-sentinel"] {
        programs.insert(name.to_owned(), own.to_owned());
    }
    for real in [REAL, REAL_SENTINEL] {
        programs.insert(real.to_owned(), redis.server.clone());
    }
    let mut image = base();
    image.environment.push(("REDIS_VERSION".into(), redis.version.clone()));
    image.programs = programs;
    image.entrypoint = vec![entrypoint::NAME.into()];
    image.command = vec!["redis-server".into()];
    image.directory = PathBuf::from("/data");
    image.directories.insert(PathBuf::from("/data"), (0o755, REDIS, group));
    let passwd = format!(
        "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\nredis:x:{REDIS}:{group}::/home/redis:/bin/sh\n"
    );
    let groups = format!("root:x:0:root\nnobody:x:65534:\nredis:x:{group}:\n");
    image.files.insert(PathBuf::from("/etc/passwd"), (passwd.into_bytes(), 0o644, 0, 0));
    image.files.insert(PathBuf::from("/etc/group"), (groups.into_bytes(), 0o644, 0, 0));
    image
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn programs() -> Programs {
        let redis = Redis { server: "/usr/bin/redis-server".into(), version: "7.0.15".into(), others: BTreeMap::new() };
        Programs { own: "/opt/x/redis-conformance".into(), redis: Ok(redis), chosen: Vec::new() }
    }

    #[rstest]
    #[case("redis:7-alpine", 1000)]
    #[case("docker.io/library/redis:7.2", 999)]
    #[case("public.ecr.aws/docker/library/redis@sha256:abc", 999)]
    fn the_official_image_has_its_data_directory(#[case] image: &str, #[case] group: u32) {
        let image = programs().image(image).expect("stands");
        assert_eq!(image.directories[Path::new("/data")], (0o755, 999, group));
        assert_eq!((image.entrypoint, image.user), (vec!["docker-entrypoint.sh".to_owned()], (0, 0)));
    }

    #[test]
    fn an_image_that_nothing_stands_for_is_told_with_the_line_that_would() {
        let refused = programs().image("bitnami/redis:7.2").expect_err("nothing");
        assert!(refused.to_string().contains("\"bitnami/redis:7.2\": /path/to/program"));
    }

    #[rstest]
    #[case(CLIENT_IMAGE)]
    #[case("docker.io/library/redis-conformance-client:0.1.0")]
    fn the_image_of_client_pods_is_this_program_by_whatever_tag(#[case] image: &str) {
        let image = programs().image(image).expect("stands");
        assert_eq!(image.programs["redis-conformance"], Path::new("/opt/x/redis-conformance"));
    }

    #[test]
    fn a_program_of_the_users_goes_first() {
        let image = programs().with("*/redis-exporter:*", "/opt/bin/exporter").image("quay.io/oliver/redis-exporter:v1").expect("chosen");
        assert_eq!(image.entrypoint, ["exporter"]);
    }
}
