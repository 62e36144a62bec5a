//! Reads image references, and which version of Redis a tag asks for.

use std::fmt;

/// An image as a container names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageRef {
    /// `docker.io` where none is written.
    pub registry: String,
    /// `library/redis` for `redis` on Docker's own registry.
    pub repository: String,
    /// Without the colon; `None` where none is written, which means `latest` unless there is a digest.
    pub tag: Option<String>,
    /// `sha256:…`.
    pub digest: Option<String>,
}

/// A version as a tag gives it: `7-alpine` says nothing of the minor version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// The first number.
    pub major: u32,
    /// The second, where the tag has one.
    pub minor: Option<u32>,
    /// The third, where the tag has one.
    pub patch: Option<u32>,
}

impl ImageRef {
    /// Reads a reference; what is odd about it is kept in the repository's name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim();
        let (rest, digest) = text.split_once('@').map_or((text, None), |(rest, digest)| (rest, Some(digest.to_owned())));
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (rest, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => ("docker.io", name),
        };
        let registry = if registry == "index.docker.io" { "docker.io" } else { registry };
        let library = registry == "docker.io" && !path.contains('/');
        let repository = if library { format!("library/{path}") } else { path.to_owned() };
        Self { registry: registry.to_owned(), repository, tag, digest }
    }

    /// The last part of the repository: `redis`.
    #[must_use]
    pub fn base(&self) -> &str {
        self.repository.rsplit('/').next().unwrap_or_default()
    }

    /// The version that the tag asks for; `None` for `latest`, `alpine`, and where only a digest is given.
    #[must_use]
    pub fn version(&self) -> Option<Version> {
        let tag = self.tag.as_deref()?;
        let numbers = tag.strip_prefix('v').unwrap_or(tag).split(['-', '_', '+']).next()?;
        let mut parts = numbers.split('.').map(str::parse::<u32>);
        let major = parts.next()?.ok()?;
        let minor = parts.next().transpose().ok()?;
        let patch = parts.next().transpose().ok().flatten();
        Some(Version { major, minor, patch })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.registry.as_str(), self.repository.strip_prefix("library/")) {
            ("docker.io", Some(name)) => f.write_str(name)?,
            ("docker.io", None) => f.write_str(&self.repository)?,
            (registry, _) => write!(f, "{registry}/{}", self.repository)?,
        }
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.major)?;
        for part in [self.minor, self.patch].into_iter().flatten() {
            write!(f, ".{part}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("redis", "docker.io", "library/redis", None, None)]
    #[case("redis:7-alpine", "docker.io", "library/redis", Some("7-alpine"), None)]
    #[case("docker.io/library/redis:7", "docker.io", "library/redis", Some("7"), None)]
    #[case("bitnami/redis:7.2.4-debian-12-r0", "docker.io", "bitnami/redis", Some("7.2.4-debian-12-r0"), None)]
    #[case("localhost:5000/redis", "localhost:5000", "redis", None, None)]
    #[case("registry.k8s.io/redis:e2e", "registry.k8s.io", "redis", Some("e2e"), None)]
    #[case("ghcr.io/a/b/redis:1@sha256:ab", "ghcr.io", "a/b/redis", Some("1"), Some("sha256:ab"))]
    fn a_reference_is_taken_apart(
        #[case] text: &str,
        #[case] registry: &str,
        #[case] repository: &str,
        #[case] tag: Option<&str>,
        #[case] digest: Option<&str>,
    ) {
        let image = ImageRef::parse(text);
        assert_eq!((image.registry.as_str(), image.repository.as_str()), (registry, repository));
        assert_eq!((image.tag.as_deref(), image.digest.as_deref()), (tag, digest));
    }

    #[rstest]
    #[case("redis:7-alpine", Some("7"))]
    #[case("redis:7.2.4-bookworm", Some("7.2.4"))]
    #[case("redis:8.2-alpine", Some("8.2"))]
    #[case("redis/redis-stack:7.2.0-v3", Some("7.2.0"))]
    #[case("redis:v6.0", Some("6.0"))]
    #[case("redis:latest", None)]
    #[case("redis:alpine", None)]
    #[case("redis", None)]
    #[case("redis@sha256:12", None)]
    fn a_tag_asks_for_a_version(#[case] text: &str, #[case] version: Option<&str>) {
        assert_eq!(ImageRef::parse(text).version().map(|version| version.to_string()).as_deref(), version);
    }

    #[test]
    fn a_reference_is_shown_in_its_short_form() {
        assert_eq!(ImageRef::parse("docker.io/library/redis:7").to_string(), "redis:7");
        assert_eq!(ImageRef::parse("ghcr.io/a/redis@sha256:1").to_string(), "ghcr.io/a/redis@sha256:1");
    }
}
