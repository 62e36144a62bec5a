//! What the API server tells of live objects, kept as it comes: steps look here, so that no look asks the server anew.

use super::{error::broken, kinds::Kind};
use crate::{
    target::TargetError,
    wait::{at_most, pause},
};
use futures::StreamExt as _;
use kube::{
    Api, Client,
    core::DynamicObject,
    runtime::watcher::{self, Event, watcher},
};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::watch, task::JoinSet};

/// How long a look waits for an API server that does not answer, as one that is started anew.
const SILENCE: Duration = Duration::from_secs(90);
/// How long the server takes at most to tell of what it has just been told.
const ECHO: Duration = Duration::from_secs(20);
/// As often as the server says no until it is believed: three seconds long.
const DENIALS: u32 = 6;
/// Between two attempts at a server that is gone.
const AGAIN: Duration = Duration::from_millis(500);

/// The watches of one scenario: one for each kind and namespace that was asked for.
pub(super) struct Watches {
    client: Client,
    changes: watch::Sender<u64>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    states: BTreeMap<(String, String), watch::Receiver<State>>,
    /// End with this.
    tasks: JoinSet<()>,
}

/// What is known of one kind in one namespace.
#[derive(Default)]
struct State {
    /// By name.
    objects: BTreeMap<String, Arc<Value>>,
    /// The newest `resourceVersion` that was seen.
    version: u64,
    /// The server is being heard.
    fresh: bool,
    /// The last thing that kept it from being heard.
    problem: String,
    /// How often in a row the server has said no: once or twice it does so while it starts and does not know its own rules yet.
    denials: u32,
}

impl Watches {
    pub(super) fn new(client: Client) -> Self {
        Self { client, changes: watch::Sender::new(0), open: Mutex::default() }
    }

    /// A counter that moves with each change.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Ends all watches: whoever looks next begins anew. What is heard of a server without power is nothing, not even its end.
    pub(super) fn forget(&self) {
        *self.lock() = Open::default();
    }

    /// The live object of a name.
    pub(super) async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<Arc<Value>>, TargetError> {
        self.read(kind, namespace, |state| state.objects.get(name).cloned()).await
    }

    /// All live objects of a kind in a namespace of the cluster, or of a kind that is in none (`""`).
    pub(super) async fn list(&self, kind: &Kind, namespace: &str) -> Result<Vec<Arc<Value>>, TargetError> {
        self.read(kind, namespace, |state| state.objects.values().cloned().collect()).await
    }

    /// Waits until the server has told of a write of ours, so that whoever looks afterwards sees it.
    pub(super) async fn seen(&self, kind: &Kind, namespace: &str, version: Option<&str>) -> Result<(), TargetError> {
        let Some(version) = version.and_then(|version| version.parse::<u64>().ok()) else { return Ok(()) };
        self.echo(kind, namespace, |state| state.version >= version).await
    }

    /// Waits until the server has told that an object is gone, or is another.
    pub(super) async fn gone(&self, kind: &Kind, namespace: &str, name: &str, uid: &Value) -> Result<(), TargetError> {
        self.echo(kind, namespace, |state| state.objects.get(name).is_none_or(|now| now["metadata"]["uid"] != *uid)).await
    }

    async fn echo(&self, kind: &Kind, namespace: &str, is_told: impl Fn(&State) -> bool) -> Result<(), TargetError> {
        let key = key(kind, namespace);
        // What nobody has looked at yet is listed anew when somebody does.
        let Some(mut state) = self.lock().states.get(&key).cloned() else { return Ok(()) };
        let what = format!("the API server to tell of a change of a {}", kind.resource.kind);
        match at_most(ECHO, &what, state.wait_for(|state| state.fresh && is_told(state))).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(closed)) => Err(broken(what, closed)),
            None => Err(broken(what, anyhow::anyhow!("it has not within {} s", ECHO.as_secs()))),
        }
    }

    async fn read<T>(&self, kind: &Kind, namespace: &str, look: impl Fn(&State) -> T) -> Result<T, TargetError> {
        let mut state = self.state(kind, namespace);
        let doing = || format!("watching objects of kind {}", kind.resource.kind);
        let heard = state.wait_for(|state| state.fresh || state.denials >= DENIALS);
        match at_most(SILENCE, "the API server to answer", heard).await {
            Some(Ok(state)) if state.fresh => return Ok(look(&state)),
            Some(Ok(state)) => return Err(broken(doing(), anyhow::anyhow!("{}", state.problem))),
            Some(Err(closed)) => return Err(broken(doing(), closed)),
            None => {}
        }
        let problem = &state.borrow().problem;
        Err(broken(doing(), anyhow::anyhow!("the API server was silent for {} s: {problem}", SILENCE.as_secs())))
    }

    fn state(&self, kind: &Kind, namespace: &str) -> watch::Receiver<State> {
        let mut open = self.lock();
        if let Some(known) = open.states.get(&key(kind, namespace)) {
            return known.clone();
        }
        let (sender, receiver) = watch::channel(State::default());
        let api = api(&self.client, kind, namespace);
        open.tasks.spawn(follow(api, kind.clone(), sender, self.changes.clone()));
        open.states.insert(key(kind, namespace), receiver.clone());
        receiver
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The API of a kind in a namespace of the cluster, or of a kind that is in none.
pub(super) fn api(client: &Client, kind: &Kind, namespace: &str) -> Api<DynamicObject> {
    if kind.namespaced {
        Api::namespaced_with(client.clone(), namespace, &kind.resource)
    } else {
        Api::all_with(client.clone(), &kind.resource)
    }
}

/// An object as JSON; the items of a list do not tell what they are.
pub(super) fn json(object: &DynamicObject, kind: &Kind) -> Value {
    let mut json = serde_json::to_value(object).unwrap_or_default();
    json["apiVersion"] = kind.resource.api_version.as_str().into();
    json["kind"] = kind.resource.kind.as_str().into();
    json
}

fn key(kind: &Kind, namespace: &str) -> (String, String) {
    (format!("{}/{}", kind.resource.api_version, kind.resource.kind), if kind.namespaced { namespace.to_owned() } else { String::new() })
}

/// Listens to one kind for good. After a break everything is listed anew: what was missed is then known as well.
async fn follow(api: Api<DynamicObject>, kind: Kind, state: watch::Sender<State>, changes: watch::Sender<u64>) {
    loop {
        let mut stream = pin!(watcher(api.clone(), watcher::Config::default()));
        let mut listed = Vec::new();
        while let Some(event) = stream.next().await {
            let taken = match event {
                Ok(event) => {
                    state.send_modify(|state| state.take(event, &mut listed, &kind));
                    true
                }
                Err(error) => {
                    state.send_modify(|state| state.lose(&error));
                    false
                }
            };
            changes.send_modify(|count| *count += 1);
            if !taken {
                break;
            }
        }
        pause(AGAIN).await;
    }
}

impl State {
    fn take(&mut self, event: Event<DynamicObject>, listed: &mut Vec<DynamicObject>, kind: &Kind) {
        match event {
            Event::Init => listed.clear(),
            Event::InitApply(object) => listed.push(object),
            Event::InitDone => {
                self.objects.clear();
                for object in listed.drain(..) {
                    self.put(&object, kind);
                }
                self.fresh = true;
                self.denials = 0;
            }
            Event::Apply(object) => self.put(&object, kind),
            Event::Delete(object) => {
                self.see(&object);
                self.objects.remove(object.metadata.name.as_deref().unwrap_or_default());
            }
        }
    }

    fn put(&mut self, object: &DynamicObject, kind: &Kind) {
        self.see(object);
        self.objects.insert(object.metadata.name.clone().unwrap_or_default(), Arc::new(json(object, kind)));
    }

    /// Numbers by Kubernetes' own storage, which only grow; where they are none, nothing is waited for.
    fn see(&mut self, object: &DynamicObject) {
        let version = object.metadata.resource_version.as_deref().and_then(|version| version.parse().ok());
        self.version = self.version.max(version.unwrap_or(0));
    }

    fn lose(&mut self, error: &watcher::Error) {
        self.fresh = false;
        self.problem = error.to_string();
        let (watcher::Error::InitialListFailed(cause) | watcher::Error::WatchStartFailed(cause)) = error else { return };
        let denied = matches!(cause, kube::Error::Api(status) if status.is_forbidden() || status.is_not_found());
        self.denials = if denied { self.denials + 1 } else { 0 };
    }
}
