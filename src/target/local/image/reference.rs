//! Image references: `registry/repository:tag@digest`.

/// A reference in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reference {
    /// `docker.io` where none is named.
    pub(super) registry: String,
    /// Without `library/`.
    pub(super) repository: String,
    /// `latest` where neither tag nor digest is named.
    pub(super) tag: String,
}

impl Reference {
    /// Reads a reference; anything can be one.
    pub(super) fn parse(image: &str) -> Self {
        let (name, digest) = image.trim().split_once('@').map_or((image.trim(), ""), |(name, digest)| (name, digest));
        let (first, rest) = name.split_once('/').unwrap_or(("", name));
        let is_registry = first.contains(['.', ':']) || first == "localhost";
        let (registry, path) = if is_registry { (first, rest) } else { ("docker.io", name) };
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (path, if digest.is_empty() { "latest" } else { "" }),
        };
        let repository = repository.strip_prefix("library/").unwrap_or(repository);
        let repository = if repository == "docker/library/redis" { "redis" } else { repository };
        Self { registry: registry.into(), repository: repository.into(), tag: tag.into() }
    }

    /// Whether it is the official image of Redis, straight or from a mirror.
    pub(super) fn is_official_redis(&self) -> bool {
        self.repository == "redis" || self.repository.ends_with("/library/redis")
    }

    /// Whether the user's pattern means it: with or without registry, with or without tag.
    pub(super) fn matches(&self, pattern: &str) -> bool {
        let Self { registry, repository, tag } = self;
        let names = [
            format!("{repository}:{tag}"),
            format!("{registry}/{repository}:{tag}"),
            repository.clone(),
            format!("{registry}/{repository}"),
        ];
        names.iter().any(|name| glob(pattern, name))
    }
}

/// `*` stands for any text.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|left| (0..=left.len()).filter(|at| left.is_char_boundary(*at)).any(|at| glob(rest, &left[at..]))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("redis", true)]
    #[case("redis:7.2", true)]
    #[case("docker.io/redis:7", true)]
    #[case("docker.io/library/redis:7", true)]
    #[case("registry.example.org:5000/library/redis:7", true)]
    #[case("public.ecr.aws/docker/library/redis:8.10.1-alpine", true)]
    #[case("localhost:5000/redis@sha256:0123", true)]
    #[case("bitnami/redis:7.2", false)]
    #[case("quay.io/opstree/redis:v7", false)]
    #[case("redis-exporter:1", false)]
    fn the_official_image_has_many_addresses(#[case] image: &str, #[case] official: bool) {
        assert_eq!(Reference::parse(image).is_official_redis(), official);
    }

    #[rstest]
    #[case("quay.io/oliver006/redis_exporter:v1.5", "oliver006/redis_exporter:*", true)]
    #[case("quay.io/oliver006/redis_exporter:v1.5", "quay.io/oliver006/redis_exporter", true)]
    #[case("postgres-mcp", "postgres-mcp:latest", true)]
    #[case("postgres-mcp:2", "postgres-mcp:1", false)]
    fn a_pattern_may_leave_out_registry_and_tag(#[case] image: &str, #[case] pattern: &str, #[case] matches: bool) {
        assert_eq!(Reference::parse(image).matches(pattern), matches);
    }
}
