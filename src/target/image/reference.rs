//! Which image a reference means: the official Redis, or what a user's pattern names.

use crate::manifest::ImageRef;

/// The repository as people write it: without the `library/` of Docker's own registry and of its mirror at Amazon.
pub(super) fn repository(image: &ImageRef) -> &str {
    match image.repository.strip_prefix("library/").unwrap_or(&image.repository) {
        "docker/library/redis" => "redis",
        repository => repository,
    }
}

/// Whether it is the official image of Redis, straight or from a mirror.
pub(super) fn is_official_redis(image: &ImageRef) -> bool {
    let repository = repository(image);
    repository == "redis" || repository.ends_with("/library/redis")
}

/// Whether the user's pattern means it: with or without registry, with or without tag.
pub(super) fn fits(image: &ImageRef, pattern: &str) -> bool {
    let (registry, repository) = (&image.registry, repository(image));
    let tag = image.tag.as_deref().unwrap_or(if image.digest.is_some() { "" } else { "latest" });
    let names = [
        format!("{repository}:{tag}"),
        format!("{registry}/{repository}:{tag}"),
        repository.to_owned(),
        format!("{registry}/{repository}"),
    ];
    names.iter().any(|name| glob(pattern, name))
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
        assert_eq!(is_official_redis(&ImageRef::parse(image)), official);
    }

    #[rstest]
    #[case("quay.io/oliver006/redis_exporter:v1.5", "oliver006/redis_exporter:*", true)]
    #[case("quay.io/oliver006/redis_exporter:v1.5", "quay.io/oliver006/redis_exporter", true)]
    #[case("postgres-mcp", "postgres-mcp:latest", true)]
    #[case("postgres-mcp:2", "postgres-mcp:1", false)]
    fn a_pattern_may_leave_out_registry_and_tag(#[case] image: &str, #[case] pattern: &str, #[case] matches: bool) {
        assert_eq!(fits(&ImageRef::parse(image), pattern), matches);
    }
}
