//! Phrases about claims and storage classes.

use super::{Failure, Step, World, live::last_event};
use crate::{
    manifest::{Object, ObjectKey, Quantity, json},
    target::Target,
    wait::{Look, Until},
};
use cucumber::{given, then, when};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// The scheduler takes up again after five minutes at the latest what it has put aside; then a volume is made.
const SCHEDULER: Duration = Duration::from_secs(5 * 60 + 60);
const CLASS_ANNOTATION: &str = "volume.beta.kubernetes.io/storage-class";

fn claim_key(namespace: &str, name: &str) -> ObjectKey {
    ObjectKey { kind: "PersistentVolumeClaim".into(), namespace: namespace.into(), name: name.into() }
}

/// The claim as the manifests have it.
fn claim(world: &World, namespace: &str, name: &str) -> Step<Object> {
    let key = claim_key(namespace, name);
    let set = world.set()?;
    set.objects.iter().find(|object| object.key() == key).cloned().ok_or_else(|| missing(world, &key))
}

/// The claim is not in the manifests: what Redis has instead is where to look.
fn missing(world: &World, key: &ObjectKey) -> Failure {
    Failure::violated(format!("there is no {key} in the manifests")).pointing_to(world.place_of_data())
}

#[then(expr = "the claim {string} in namespace {string} asks for {string}")]
async fn the_claim_asks_for(world: &mut World, name: String, namespace: String, size: String) -> Step {
    let claim = claim(world, &namespace, &name)?;
    let pointer = "/spec/resources/requests/storage";
    let asked = claim.json.pointer(pointer).and_then(Value::as_str);
    // 10240Mi is 10Gi.
    let quantity = |text: &str| text.parse::<Quantity>().ok();
    match asked.and_then(quantity) {
        Some(asked) if Some(&asked) == quantity(&size).as_ref() => Ok(()),
        _ => Err(Failure::violated_at(claim.place_of(pointer), format!("the claim asks for {}", asked.unwrap_or("nothing")))),
    }
}

#[then(expr = "the claim {string} in namespace {string} has the only access mode {string}")]
async fn the_claim_has_the_only_mode(world: &mut World, name: String, namespace: String, mode: String) -> Step {
    let claim = claim(world, &namespace, &name)?;
    let modes = &claim.json["spec"]["accessModes"];
    if *modes == json!([mode]) {
        return Ok(());
    }
    Err(Failure::violated_at(claim.place_of("/spec/accessModes"), format!("its access modes are {modes}")))
}

#[then(expr = "the claim {string} in namespace {string} names no storage class")]
async fn the_claim_names_no_class(world: &mut World, name: String, namespace: String) -> Step {
    let claim = claim(world, &namespace, &name)?;
    // How a class was named before the field was there; API servers still heed it.
    if let Some(class) = claim.json["metadata"]["annotations"].get(CLASS_ANNOTATION) {
        return Err(Failure::violated_at(claim.place.clone(), format!("its annotation {CLASS_ANNOTATION} names the class {class}")));
    }
    match claim.json.pointer("/spec/storageClassName") {
        None | Some(Value::Null) => Ok(()),
        Some(class) => Err(Failure::violated_at(claim.place_of("/spec/storageClassName"), format!("it names the class {class}"))),
    }
}

#[then(expr = "the claim {string} in namespace {string} is bound within {int} seconds")]
async fn the_claim_is_bound(world: &mut World, name: String, namespace: String, seconds: u64) -> Step {
    let key = claim_key(&namespace, &name);
    if world.set()?.objects.iter().all(|object| object.key() != key) {
        return Err(missing(world, &key));
    }
    let target = world.target().await?;
    match is_bound(target.as_ref(), &key, Duration::from_secs(seconds)).await {
        Err(late) if is_overlooked(target.as_ref(), &key).await? => {
            is_bound(target.as_ref(), &key, SCHEDULER).await?;
            world.note(format!("bound after the scheduler had taken its pod up again, which it had put aside: {late}"));
            Ok(())
        }
        bound => bound,
    }
}

async fn is_bound(target: &dyn Target, key: &ObjectKey, limit: Duration) -> Step {
    Until::within(limit)
        .on(target.changes())
        .met::<_, Failure, _>(format!("{key} to be bound"), || async {
            let phase = phase(target.get(key).await?.as_ref());
            if phase == "Bound" {
                return Ok(Look::Ready(()));
            }
            Ok(Look::NotYet(format!("it is {phase}; {}", last_event(&target.list("Event", Some(&key.namespace)).await?, key))))
        })
        .await
}

/// Whether a pod was put aside since its claim had no class, which it has now: the two news reach the scheduler by different ways, and the
/// one that would have woken it may come first.
async fn is_overlooked(target: &dyn Target, key: &ObjectKey) -> Step<bool> {
    let claim = target.get(key).await?.unwrap_or_default();
    let pods = target.list("Pod", Some(&key.namespace)).await?;
    let waits = |pod: &Value| {
        let condition = json::condition(pod, "PodScheduled").and_then(|condition| condition["message"].as_str());
        condition.is_some_and(|message| message.contains("unbound immediate PersistentVolumeClaims"))
    };
    // Of such a class no claim is bound before its pod has a node: what the scheduler says is older than the class.
    let classes = target.list("StorageClass", None).await?;
    let class = classes.iter().find(|class| class["metadata"]["name"] == claim["spec"]["storageClassName"]);
    Ok(class.is_some_and(|class| class["volumeBindingMode"] == "WaitForFirstConsumer") && pods.iter().any(waits))
}

#[then(expr = "it is bound in the class {string}")]
async fn it_is_bound_in_the_class(world: &mut World, class: String) -> Step {
    let claims = world.target().await?.list("PersistentVolumeClaim", None).await?;
    match claims.iter().find(|claim| claim["spec"]["storageClassName"] == class.as_str()) {
        Some(claim) if claim["status"]["phase"] == "Bound" => Ok(()),
        Some(claim) => Err(Failure::violated(format!("the claim in class {class} is {}", claim["status"]["phase"]))),
        None => Err(Failure::violated(format!("no claim is in class {class}"))),
    }
}

#[then(expr = "the claim {string} in namespace {string} is Pending, and the event names {string}")]
async fn the_claim_is_pending(world: &mut World, name: String, namespace: String, words: String) -> Step {
    let key = claim_key(&namespace, &name);
    let target = world.target().await?;
    let told = Until::within(Duration::from_secs(30))
        .on(target.changes())
        .met::<_, Failure, _>(format!("an event of {key} that names {words:?}"), || async {
            let phase = phase(target.get(&key).await?.as_ref());
            if phase != "Pending" {
                let claim = world.set().ok().and_then(|set| set.get(&key).map(|claim| claim.place_of("/spec")));
                let failure = Failure::violated(format!("{key} is {phase}, not Pending"));
                return Err(failure.pointing_to(claim.or_else(|| world.place_of_data())));
            }
            let event = last_event(&target.list("Event", Some(&namespace)).await?, &key);
            Ok(if event.contains(&words) { Look::Ready(event) } else { Look::NotYet(event) })
        })
        .await?;
    world.note(format!("{key} is Pending: {told}"));
    Ok(())
}

#[when(expr = "the manifests are applied without the claim {string}")]
async fn applied_without_the_claim(world: &mut World, name: String) -> Step {
    let set = world.take_set(".").await?;
    let rest: Vec<Object> = set.objects.iter().filter(|object| !is_claim(object, &name)).cloned().collect();
    if rest.len() == set.objects.len() {
        let failure = Failure::violated(format!("there is no claim {name} in the manifests that could come later"));
        return Err(failure.pointing_to(world.place_of_data()));
    }
    world.apply(&rest).await
}

#[when(expr = "the claim {string} is applied as well")]
async fn the_claim_is_applied_as_well(world: &mut World, name: String) -> Step {
    let claims: Vec<Object> = world.set()?.objects.iter().filter(|object| is_claim(object, &name)).cloned().collect();
    world.apply(&claims).await
}

fn is_claim(object: &Object, name: &str) -> bool {
    object.json["kind"] == "PersistentVolumeClaim" && object.json["metadata"]["name"] == name
}

#[then(expr = "the variant {string} changes only the storage class of the claim {string}, to {string}")]
async fn the_variant_changes_only_the_class(world: &mut World, variant: String, name: String, class: String) -> Step {
    let base = world.rendered(".").await?;
    let changed = world.take_set(&variant).await?;
    let differences = base.differences(changed.as_ref());
    let is_named = |object: &Object| is_claim(object, &name) && object.json["spec"]["storageClassName"] == class.as_str();
    if differences.is_empty() && base.objects.iter().any(is_named) {
        world.note(format!("the manifests name the class {class} already"));
        return Ok(());
    }
    let [difference] = &differences[..] else {
        let all: Vec<String> = differences.iter().map(ToString::to_string).collect();
        return Err(Failure::violated(format!("{} fields differ: {}", all.len(), all.join("; "))));
    };
    let to = difference.after.as_ref().and_then(Value::as_str).unwrap_or_default();
    if difference.key.name == name && difference.pointer == "/spec/storageClassName" && to == class {
        return Ok(());
    }
    Err(Failure::violated(format!("it changes {difference}")))
}

#[when(expr = "the claim {string} in namespace {string} is patched to {string}")]
async fn the_claim_is_patched(world: &mut World, name: String, namespace: String, size: String) -> Step {
    let key = claim_key(&namespace, &name);
    let target = world.target().await?;
    let before = target.get(&key).await?.ok_or_else(|| missing(world, &key))?;
    if is_at_least(&before["status"]["capacity"]["storage"], &size) {
        return Err(Failure::broken(format!(
            "{key} holds {} before the patch, so that growing to {size} cannot be tried",
            before["status"]["capacity"]["storage"]
        )));
    }
    let answer = target.patch(&key, &json!({ "spec": { "resources": { "requests": { "storage": size } } } })).await;
    let outcome = match answer {
        Ok(_) => Ok(()),
        Err(crate::target::TargetError::Refused { reason, .. }) => Err(reason),
        Err(other) => return Err(other.into()),
    };
    world.fault.growth = Some(Growth { key, size, before: before["status"]["capacity"]["storage"].clone(), outcome });
    Ok(())
}

/// An attempt to make a claim larger.
#[derive(Debug)]
pub(super) struct Growth {
    key: ObjectKey,
    size: String,
    before: Value,
    outcome: Result<(), String>,
}

#[then("it has grown, or the patch was refused with a reason")]
async fn it_has_grown_or_was_refused(world: &mut World) -> Step {
    let growth = world.fault.growth.take().ok_or_else(|| Failure::broken("no claim was patched by an earlier step"))?;
    if let Err(reason) = growth.outcome {
        if reason.trim().is_empty() {
            return Err(Failure::violated("the patch was refused without a reason"));
        }
        if !is_about_growing(&reason) {
            return Err(Failure::broken(format!("the patch is refused for another reason than that the class cannot grow: {reason}")));
        }
        world.note(format!("the patch to {} is refused: {reason}", growth.size));
        return Ok(());
    }
    let target = world.target().await?;
    let key = growth.key;
    Until::within(Duration::from_secs(20))
        .on(target.changes())
        .met::<_, Failure, _>(format!("{key} to hold {}, for the patch was accepted", growth.size), || async {
            let capacity = target.get(&key).await?.map(|claim| claim["status"]["capacity"]["storage"].clone()).unwrap_or_default();
            Ok(if capacity == growth.size.as_str() {
                Look::Ready(())
            } else {
                Look::NotYet(format!("the patch was accepted and the capacity is {capacity}, before it was {}", growth.before))
            })
        })
        .await?;
    world.note(format!("the claim has grown to {}", growth.size));
    Ok(())
}

#[given(expr = "Redis runs from the variant {string}")]
async fn redis_runs_from_the_variant(world: &mut World, variant: String) -> Step {
    let set = world.take_set(&variant).await?;
    world.apply(&set.objects).await?;
    world.redis_becomes_ready(None).await
}

#[when(expr = "the variant {string} is applied")]
async fn the_variant_is_applied(world: &mut World, variant: String) -> Step {
    let set = world.take_set(&variant).await?;
    world.apply(&set.objects).await
}

#[when("the manifests are applied with the document's change alone")]
async fn applied_with_the_document_s_change_alone(world: &mut World) -> Step {
    let set = world.take_set(".").await?;
    let mut changed = set.as_ref().clone();
    super::variants::persist_literally(&mut changed)?;
    world.keep_set(Arc::new(changed));
    let set = world.set()?;
    world.apply(&set.objects).await
}

/// Whether a live quantity is no smaller than another.
fn is_at_least(quantity: &Value, other: &str) -> bool {
    let parsed = |text: &str| text.parse::<Quantity>().ok();
    match (quantity.as_str().and_then(parsed), parsed(other)) {
        (Some(quantity), Some(other)) => quantity >= other,
        _ => false,
    }
}

/// API servers say "… must support resize" or "… does not allow volume expansion"; a malformed patch or a smaller size is told otherwise.
fn is_about_growing(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    ["resize", "expand", "expansion"].iter().any(|word| reason.contains(word))
}

/// `Bound`, `Pending`, or that there is none.
fn phase(claim: Option<&Value>) -> String {
    match claim {
        None => "not there".into(),
        Some(claim) => claim["status"]["phase"].as_str().unwrap_or("without a phase").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[rstest::rstest]
    #[case("only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize", true)]
    #[case("spec.resources.requests.storage: Forbidden: field can not be less than previous value", false)]
    #[case("json: cannot unmarshal number into Go struct field", false)]
    fn only_a_class_that_cannot_grow_refuses_for_the_promise_s_reason(#[case] reason: &str, #[case] about: bool) {
        assert_eq!(is_about_growing(reason), about);
    }

    #[test]
    fn a_claim_that_is_large_already_cannot_grow_to_that() {
        assert!(is_at_least(&json!("20480Mi"), "20Gi") && is_at_least(&json!("50Gi"), "20Gi"));
        assert!(!is_at_least(&json!("10Gi"), "20Gi") && !is_at_least(&Value::Null, "20Gi"));
    }
}
