//! Which image a reference means: the official Redis, or what a user's pattern names; and what an image of ours is called.

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

/// What an archive calls its image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// As containerd and the kubelet know it: `docker.io/library/redis:7-alpine`.
    pub(super) full: String,
    /// As Docker and people write it: `redis:7-alpine`.
    pub(super) familiar: String,
    /// `7-alpine`.
    pub(super) tag: String,
}

/// The names of an image that is to be found under this reference; the error says what is wrong with it.
pub(super) fn names(text: &str) -> Result<Names, &'static str> {
    let mut image = ImageRef::parse(text);
    if image.digest.take().is_some() {
        return Err("a digest is that of one content only, and this one's is another; leave it out");
    }
    let tag = image.tag.get_or_insert_with(|| "latest".into()).clone();
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if tag.len() > 128 || !tag.bytes().next().is_some_and(word) || !tag.bytes().all(|byte| word(byte) || b".-".contains(&byte)) {
        return Err("a tag is of letters, digits, `_`, `.` and `-`, at most 128 of them");
    }
    let lower = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let part = |part: &str| {
        let ends = part.bytes().next().zip(part.bytes().next_back());
        ends.is_some_and(|(first, last)| lower(first) && lower(last)) && part.bytes().all(|byte| lower(byte) || b"._-".contains(&byte))
    };
    if !image.repository.split('/').all(part) {
        return Err("a name is of lower-case letters, digits, `_`, `.` and `-`, in parts between `/`");
    }
    let full = format!("{}/{}:{tag}", image.registry, image.repository);
    Ok(Names { full, familiar: image.to_string(), tag })
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
    #[case("redis", "docker.io/library/redis:latest", "redis:latest")]
    #[case("redis:7-alpine", "docker.io/library/redis:7-alpine", "redis:7-alpine")]
    #[case("docker.io/redis:7", "docker.io/library/redis:7", "redis:7")]
    #[case("index.docker.io/library/redis:7", "docker.io/library/redis:7", "redis:7")]
    #[case("bitnami/redis:7.2", "docker.io/bitnami/redis:7.2", "bitnami/redis:7.2")]
    #[case("localhost:5000/redis", "localhost:5000/redis:latest", "localhost:5000/redis:latest")]
    #[case("ghcr.io/a/b_c/redis:v1.0_x-y", "ghcr.io/a/b_c/redis:v1.0_x-y", "ghcr.io/a/b_c/redis:v1.0_x-y")]
    fn an_image_is_called_in_full_and_as_people_do(#[case] text: &str, #[case] full: &str, #[case] familiar: &str) {
        let tag = full.rsplit(':').next().unwrap_or_default().to_owned();
        assert_eq!(names(text), Ok(Names { full: full.into(), familiar: familiar.into(), tag }));
    }

    #[rstest]
    #[case("redis@sha256:0123", "digest")]
    #[case("redis:7@sha256:0123", "digest")]
    #[case("redis:", "tag")]
    #[case("redis:-1", "tag")]
    #[case("redis:a b", "tag")]
    #[case("Redis:7", "lower-case")]
    #[case("mcp-<name>-server:1.0", "lower-case")]
    #[case("a//b", "lower-case")]
    #[case("", "lower-case")]
    fn a_name_that_no_image_can_have_is_refused_with_the_reason(#[case] text: &str, #[case] reason: &str) {
        let told = names(text).expect_err("refused");
        assert!(told.contains(reason), "{told}");
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
