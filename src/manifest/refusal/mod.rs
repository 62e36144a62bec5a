//! What an API server refuses about an object, in its words as well as we know them; it changes nothing.
//!
//! An object without refusals may still be refused by a real cluster (quotas, webhooks, rules not known here). The other way round is a bug: the rules
//! follow those of Kubernetes 1.34, and a rule that is in doubt is left out.

mod container;
mod metadata;
mod pod;
mod policy;
mod service;
mod storage;
mod words;
mod workload;

use super::{Object, Place, pointer, strict};
use serde::Serialize;
use words::Report;

/// One thing for which an API server would not take an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// Where the field stands, or what is nearest to it.
    pub place: Place,
    /// The field; empty for the whole object.
    pub pointer: String,
    /// The whole message.
    pub reason: String,
}

impl Object {
    /// Everything for which an API server would refuse the object; empty for kinds that are not its own.
    ///
    /// Wrong types hide what comes after them, as they do on a server.
    #[must_use]
    pub fn refusals(&self) -> Vec<Refusal> {
        let refuse = |at: &str, reason: String| Refusal { place: self.place_of(at), pointer: at.to_owned(), reason };
        let (api_version, kind) = (self.api_version(), self.kind());
        let Some(decoded) = strict::decode_object(api_version, kind, &self.json) else {
            if strict::is_served_elsewhere(api_version, kind) {
                let reason = format!("no matches for kind \"{kind}\" in version \"{api_version}\"; ensure CRDs are installed first");
                return vec![refuse("/apiVersion", reason)];
            }
            return Vec::new();
        };
        let version = api_version.rsplit('/').next().unwrap_or_default();
        let mut found: Vec<Refusal> = decoded
            .unknown
            .iter()
            .map(|at| refuse(at, format!("strict decoding error: unknown field \"{}\"", pointer::dotted(&self.json, at))))
            .collect();
        if let Some(misfit) = decoded.misfit {
            let reason = format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {misfit}");
            found.push(refuse(&misfit.at, reason));
            return found;
        }
        let mut report = Report::new(self);
        metadata::check(&mut report);
        workload::check(&mut report);
        service::check(&mut report);
        storage::check(&mut report);
        policy::check(&mut report);
        found.append(&mut report.found);
        found
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::ManifestSet;
    use rstest::rstest;

    const DEPLOYMENT: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: redis
spec:
  replicas: 1
  selector:
    matchLabels:
      app: redis
  template:
    metadata:
      labels:
        app: redis
    spec:
      containers:
        - name: redis
          image: redis:7
          ports:
            - containerPort: 6379
              name: redis
          env:
            - name: A
              value: b
          resources:
            requests:
              memory: 128Mi
            limits:
              memory: 256Mi
              cpu: 1
          livenessProbe:
            tcpSocket:
              port: redis
          volumeMounts:
            - name: data
              mountPath: /data
      volumes:
        - name: data
          persistentVolumeClaim:
            claimName: data
";

    /// `line reason` of each refusal.
    fn refusals(text: &str) -> Vec<String> {
        let set = ManifestSet::parse(text, "a.yaml").unwrap();
        set.objects
            .iter()
            .flat_map(super::super::Object::refusals)
            .map(|refusal| format!("{} {}", refusal.place.line, refusal.reason))
            .collect()
    }

    #[test]
    fn a_good_deployment_is_not_refused() {
        assert_eq!(refusals(DEPLOYMENT), Vec::<String>::new());
    }

    #[rstest]
    #[case("  replicas: 1", "  replica: 1", "6 strict decoding error: unknown field \"spec.replica\"")]
    #[case(
        "              cpu: 1",
        "              cpu: 1\n          livenesProbe: {}",
        "30 strict decoding error: unknown field \"spec.template.spec.containers[0].livenesProbe\""
    )]
    #[case(
        "value: b",
        "value: 6379",
        "23 Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal number into Go struct field EnvVar.spec.template.spec.containers.env.value of type string"
    )]
    #[case(
        "replicas: 1",
        "replicas: \"1\"",
        "6 Deployment in version \"v1\" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    )]
    #[case(
        "memory: 128Mi",
        "memory: 128mb",
        "26 Deployment in version \"v1\" cannot be handled as a Deployment: quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    #[case(
        "replicas: 1",
        "replicas: -1",
        "6 Deployment.apps \"redis\" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"
    )]
    #[case(
        "        app: redis\n    spec",
        "        app: other\n    spec",
        "12 Deployment.apps \"redis\" is invalid: spec.template.metadata.labels: Invalid value: {\"app\":\"other\"}: `selector` does not match template `labels`"
    )]
    #[case(
        "  selector:\n    matchLabels:\n      app: redis\n",
        "",
        "5 Deployment.apps \"redis\" is invalid: spec.selector: Required value"
    )]
    #[case(
        "          image: redis:7\n",
        "",
        "16 Deployment.apps \"redis\" is invalid: spec.template.spec.containers[0].image: Required value"
    )]
    #[case(
        "          image: redis:7\n",
        "          image: redis:7\n        - name: redis\n          image: x\n",
        "18 Deployment.apps \"redis\" is invalid: spec.template.spec.containers[1].name: Duplicate value: \"redis\""
    )]
    #[case(
        "containerPort: 6379",
        "containerPort: 70000",
        "19 Deployment.apps \"redis\" is invalid: spec.template.spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"
    )]
    #[case(
        "            tcpSocket:\n              port: redis\n",
        "            periodSeconds: 5\n",
        "30 Deployment.apps \"redis\" is invalid: spec.template.spec.containers[0].livenessProbe: Required value: must specify a handler type"
    )]
    #[case(
        "            tcpSocket:\n",
        "            successThreshold: 2\n            tcpSocket:\n",
        "31 Deployment.apps \"redis\" is invalid: spec.template.spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"
    )]
    #[case(
        "memory: 256Mi",
        "memory: 64Mi",
        "26 Deployment.apps \"redis\" is invalid: spec.template.spec.containers[0].resources.requests: Invalid value: \"128Mi\": must be less than or equal to memory limit of 64Mi"
    )]
    #[case(
        "        - name: data\n          pers",
        "        - name: date\n          pers",
        "34 Deployment.apps \"redis\" is invalid: spec.template.spec.containers[0].volumeMounts[0].name: Not found: \"data\""
    )]
    #[case(
        "            claimName: data\n",
        "            claimName: \"\"\n",
        "39 Deployment.apps \"redis\" is invalid: spec.template.spec.volumes[0].persistentVolumeClaim.claimName: Required value"
    )]
    #[case(
        "      volumes:\n",
        "      restartPolicy: Never\n      volumes:\n",
        "36 Deployment.apps \"redis\" is invalid: spec.template.spec.restartPolicy: Unsupported value: \"Never\": supported values: \"Always\""
    )]
    #[case(
        "apiVersion: apps/v1",
        "apiVersion: extensions/v1beta1",
        "1 no matches for kind \"Deployment\" in version \"extensions/v1beta1\"; ensure CRDs are installed first"
    )]
    #[case(
        "  replicas: 1\n",
        "  replicas: 1\n  strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}\n",
        "7 Deployment.apps \"redis\" is invalid: spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'"
    )]
    fn one_mistake_gives_one_refusal(#[case] from: &str, #[case] to: &str, #[case] refused: &str) {
        assert!(DEPLOYMENT.contains(from), "the test's own text is stale: {from}");
        assert_eq!(refusals(&DEPLOYMENT.replacen(from, to, 1)), [refused]);
    }

    #[test]
    fn a_volume_without_a_source_is_taken_for_an_empty_one() {
        assert_eq!(
            refusals(&DEPLOYMENT.replace("          persistentVolumeClaim:\n            claimName: data\n", "")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_name_must_be_a_name() {
        let found = refusals(&DEPLOYMENT.replacen("name: redis", "name: Redis_1", 1));
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with(
                "4 Deployment.apps \"Redis_1\" is invalid: metadata.name: Invalid value: \"Redis_1\": a lowercase RFC 1123 subdomain"
            ),
            "{found:?}"
        );
    }

    #[rstest]
    #[case("{type: ClusterIP}", "Service \"r\" is invalid: spec.ports: Required value")]
    #[case("{ports: [{port: 1}, {port: 2, name: b}]}", "Service \"r\" is invalid: spec.ports[0].name: Required value")]
    #[case(
        "{ports: [{port: 0}]}",
        "Service \"r\" is invalid: spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"
    )]
    #[case(
        "{clusterIP: None, type: NodePort, ports: [{port: 1}]}",
        "Service \"r\" is invalid: spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"
    )]
    #[case(
        "{type: Cluster, ports: [{port: 1}]}",
        "Service \"r\" is invalid: spec.type: Unsupported value: \"Cluster\": supported values: \"ClusterIP\", \"ExternalName\", \"LoadBalancer\", \"NodePort\""
    )]
    fn a_service_is_refused(#[case] spec: &str, #[case] reason: &str) {
        assert_eq!(refusals(&format!("apiVersion: v1\nkind: Service\nmetadata: {{name: r}}\nspec: {spec}\n")), [format!("4 {reason}")]);
    }

    #[rstest]
    #[case("{clusterIP: None}")]
    #[case("{type: ExternalName, externalName: example.com}")]
    #[case("{ports: [{port: 6379, targetPort: redis}]}")]
    fn a_service_is_taken(#[case] spec: &str) {
        assert_eq!(refusals(&format!("apiVersion: v1\nkind: Service\nmetadata: {{name: r}}\nspec: {spec}\n")), Vec::<String>::new());
    }

    #[rstest]
    #[case(
        "{resources: {requests: {storage: 1Gi}}}",
        "PersistentVolumeClaim \"c\" is invalid: spec.accessModes: Required value: at least 1 access mode is required"
    )]
    #[case("{accessModes: [ReadWriteOnce]}", "PersistentVolumeClaim \"c\" is invalid: spec.resources[storage]: Required value")]
    #[case(
        "{accessModes: [ReadWriteTwice], resources: {requests: {storage: 1Gi}}}",
        "PersistentVolumeClaim \"c\" is invalid: spec.accessModes: Unsupported value: \"ReadWriteTwice\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\""
    )]
    #[case(
        "{accessModes: [ReadWriteOnce], resources: {requests: {storage: 0}}}",
        "PersistentVolumeClaim \"c\" is invalid: spec.resources[storage]: Invalid value: \"0\": must be greater than zero"
    )]
    fn a_claim_is_refused(#[case] spec: &str, #[case] reason: &str) {
        assert_eq!(
            refusals(&format!("apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: c}}\nspec: {spec}\n")),
            [format!("4 {reason}")]
        );
    }

    #[test]
    fn budgets_and_policies_are_refused() {
        let found = refusals(
            "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: b}\nspec: {minAvailable: 1, maxUnavailable: 1, selector: {}}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec:\n  podSelector: {}\n  policyTypes: [In]\n  ingress:\n  - from: [{}]\n",
        );
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].contains("minAvailable and maxUnavailable cannot be both set"));
        assert!(found[1].contains("spec.ingress[0].from[0]: Required value: must specify a peer"));
        assert!(found[2].contains("spec.policyTypes[0]: Unsupported value: \"In\""));
    }

    #[test]
    fn configuration_must_be_text_with_sound_keys() {
        let found = refusals(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata:\n  a b: x\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: d}\ndata:\n  port: 6379\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata:\n  password: not*base64\n",
        );
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(
            found[0].starts_with("5 ConfigMap \"c\" is invalid: data[a b]: Invalid value: \"a b\": a valid config key must consist of")
        );
        assert!(found[1].starts_with("11 ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data.port of type string"));
        assert!(found[2].starts_with("17 Secret in version \"v1\" cannot be handled as a Secret: "), "{found:#?}");
    }

    #[test]
    fn kinds_of_others_are_not_judged() {
        assert_eq!(
            refusals("apiVersion: monitoring.coreos.com/v1\nkind: ServiceMonitor\nmetadata: {name: m}\nspec: {anything: 1}\n"),
            Vec::<String>::new()
        );
    }
}
