//! The API server: objects with versions, compare-and-set, watches that come later.

use super::objects;
use crate::event::Event;
use crate::faults::Moment;
use crate::rules::Rule;
use crate::world::{Time, World, text};
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use redis_operator_core::names;
use redis_operator_core::observed::Desired;
use redis_operator_core::plan::Label;
use redis_operator_core::record::{Found, Record};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The name of the one resource.
pub const NAME: &str = "a";

/// The Redis object.
#[derive(Clone, Debug)]
pub struct Redis {
    /// Its version.
    pub version: u64,
    /// What is wanted.
    pub desired: Desired,
    /// The number of its spec, as far as that is about pods.
    pub spec: u32,
    /// `spec.priorities` by ordinal.
    pub priorities: Vec<u32>,
    /// Its record.
    pub record: Option<Arc<Record>>,
}

/// All objects.
#[derive(Debug)]
pub struct Api {
    /// The last version given.
    pub version: u64,
    /// The resource.
    pub redis: Redis,
    /// Pods by name.
    pub pods: BTreeMap<String, Arc<Pod>>,
    /// The master's slice.
    pub slice: Option<Arc<EndpointSlice>>,
    /// The StatefulSet.
    pub set: Option<Arc<StatefulSet>>,
    /// Nodes.
    pub nodes: Vec<Arc<Node>>,
    /// The lease: holder and renewal.
    pub lease: Option<(String, Time)>,
    /// Renewals by the kubelets.
    pub renewed: Vec<Timestamp>,
    /// It does not answer: refuses (true) or is silent (false).
    pub away: Option<bool>,
    /// The highest number of a spec.
    pub specs: u32,
    /// Specs whose pods cannot start.
    pub broken: BTreeSet<u32>,
    /// Nodes that take no new pods.
    pub cordoned: BTreeSet<u8>,
    /// The last record of the term before.
    pub before: Option<Arc<Record>>,
    /// Somebody wrote the record by hand, and what it says of the guard may be wrong.
    pub edited: bool,
}

/// A change that a watch tells.
#[derive(Clone, Debug)]
pub enum Change {
    /// The resource.
    Redis(Box<Redis>),
    /// A pod.
    Pod(String, Option<Arc<Pod>>),
    /// The slice.
    Slice(Option<Arc<EndpointSlice>>),
    /// The StatefulSet.
    Set(Option<Arc<StatefulSet>>),
    /// A node.
    Node(Arc<Node>),
}

/// Where responses get lost, one write of so many is held up for longer than its caller waits.
const LATE: u32 = 16;

/// A request.
#[derive(Clone, Debug)]
pub enum Request {
    /// GET of the resource.
    Record,
    /// GET of these pods, names by uid.
    Pods(BTreeMap<String, String>),
    /// GET of the slice.
    Slice,
    /// JSON patch of the record, and the one that it replaces.
    WriteRecord(Arc<Record>, Option<Arc<Record>>),
    /// PUT, or POST where it has no version.
    PutSlice(Box<EndpointSlice>),
    /// Patch of a pod's metadata with uid and version.
    Label(String, String, String, Label),
    /// Patch of an annotation of a pod with uid and version.
    TouchPod(String, String, String),
    /// DELETE with uid and version.
    DeletePod(String, String, String),
    /// Apply of the StatefulSet with version: holder, replicas, the number of the spec and the restart.
    ApplySet(Option<String>, String, i32, u32, Option<String>),
    /// GET of a kubelet's Lease.
    Renewed(u8),
    /// Patch of the rest of the status.
    Report,
    /// The lease of the operators, for this holder.
    Lease(String),
}

/// A response.
#[derive(Clone, Debug)]
pub enum Response {
    /// Done.
    Done,
    /// The record, and that there is a resource.
    Record(Option<Arc<Record>>),
    /// The slice.
    Slice(Option<Arc<EndpointSlice>>),
    /// Those that exist.
    Pods(Vec<Arc<Pod>>),
    /// A kubelet's Lease.
    Renewed(Timestamp),
    /// Somebody was first, or it is gone.
    Conflict,
    /// Another one holds the lease.
    Held,
    /// The API server does not answer.
    Unreachable,
    /// It was not answered in time.
    Deadline,
}

impl Api {
    /// A cluster with a new resource.
    pub fn new(desired: Desired, priorities: Vec<u32>, nodes: u8) -> Self {
        Self {
            version: 1,
            redis: Redis {
                version: 1,
                desired,
                spec: 0,
                priorities,
                record: None,
            },
            specs: 0,
            broken: BTreeSet::new(),
            cordoned: BTreeSet::new(),
            before: None,
            edited: false,
            pods: BTreeMap::new(),
            slice: None,
            set: None,
            nodes: (0..nodes).map(|node| Arc::new(objects::node(node, 0, false))).collect(),
            lease: None,
            renewed: vec![Timestamp::UNIX_EPOCH; usize::from(nodes)],
            away: None,
        }
    }

    fn next(&mut self) -> u64 {
        self.version += 1;
        self.version
    }

    /// Everything, as a new watch lists it.
    pub fn list(&self) -> Vec<Change> {
        let mut all = vec![
            Change::Redis(Box::new(self.redis.clone())),
            Change::Slice(self.slice.clone()),
            Change::Set(self.set.clone()),
        ];
        all.extend(
            self.pods
                .iter()
                .map(|(name, pod)| Change::Pod(name.clone(), Some(Arc::clone(pod)))),
        );
        all.extend(self.nodes.iter().map(|node| Change::Node(Arc::clone(node))));
        all
    }

    /// The newest spec up to the present one whose pods can start.
    pub fn good_spec(&self) -> u32 {
        let all = (0..=self.redis.spec).rev();
        all.into_iter()
            .find(|spec| !self.broken.contains(spec))
            .unwrap_or_default()
    }

    /// E as status shows it.
    pub fn quorum(&self) -> u32 {
        self.redis.record.as_ref().map_or(0, |record| record.quorum)
    }
}

impl World {
    /// An operator sends a request; it may arrive although nobody hears of it.
    pub fn request(&mut self, operator: usize, id: u32, request: Request) {
        let epoch = self.operators[operator].epoch;
        let limit = if matches!(request, Request::Lease(_)) {
            500_000
        } else {
            2_000_000
        };
        self.schedule(self.now + limit, Event::NoResponse(operator, epoch, id));
        if self.operators[operator].api_cut {
            return;
        }
        let at = self.now + self.delay() + 300;
        self.schedule(at, Event::Request(operator, epoch, id, Box::new(request)));
    }

    /// It arrives.
    pub fn requested(&mut self, operator: usize, epoch: u32, id: u32, request: Request) {
        let writes = matches!(
            request,
            Request::WriteRecord(..) | Request::PutSlice(_) | Request::DeletePod(..)
        );
        if self.settings.lost_responses > 0 && writes && id.is_multiple_of(LATE) {
            let at = self.now + self.random.between(1_000_000, 8_000_000);
            self.schedule(at, Event::Late(Box::new(request)));
            return;
        }
        let response = match self.api.away {
            Some(true) => Response::Unreachable,
            Some(false) => return,
            None => self.serve(request),
        };
        let slow = if self.random.chance(20) { 400_000 } else { 6_000 };
        let at = self.now + self.random.between(1_000, slow);
        if self.random.chance(self.settings.lost_responses) {
            return;
        }
        self.schedule(at, Event::Response(operator, epoch, id, Box::new(response)));
    }

    pub(crate) fn serve(&mut self, request: Request) -> Response {
        match request {
            Request::Record => Response::Record(self.api.redis.record.clone()),
            Request::Pods(asked) => {
                let found = |(uid, name): (&String, &String)| {
                    let pod = self.api.pods.get(name)?;
                    (pod.metadata.uid.as_ref() == Some(uid)).then(|| Arc::clone(pod))
                };
                Response::Pods(asked.iter().filter_map(found).collect())
            }
            Request::Slice => Response::Slice(self.api.slice.clone()),
            Request::WriteRecord(record, before) => self.write_record(record, before.as_deref()),
            Request::PutSlice(slice) => self.put_slice(*slice),
            Request::Label(name, uid, version, label) => self.label(&name, &uid, &version, label),
            Request::TouchPod(name, uid, version) => match self.api.pods.get(&name) {
                Some(pod) if self.is_as_seen(pod, &uid, &version) => {
                    self.put_pod((**pod).clone());
                    Response::Done
                }
                _ => Response::Conflict,
            },
            Request::DeletePod(name, uid, version) => match self.api.pods.get(&name) {
                Some(pod) if self.is_as_seen(pod, &uid, &version) => {
                    self.delete_pod(&name);
                    Response::Done
                }
                _ => Response::Conflict,
            },
            Request::ApplySet(version, holder, replicas, spec, restarted) => {
                self.apply_set(version, &holder, replicas, spec, restarted)
            }
            Request::Renewed(node) => Response::Renewed(self.api.renewed[usize::from(node)]),
            Request::Report => {
                let version = self.api.next();
                self.api.redis.version = version;
                self.tell(Change::Redis(Box::new(self.api.redis.clone())));
                Response::Done
            }
            Request::Lease(holder) => self.lease(holder),
        }
    }

    fn lease(&mut self, holder: String) -> Response {
        let now = self.now;
        match &mut self.api.lease {
            Some((held, renewed)) if *held != holder && now.saturating_sub(*renewed) < 3_000_000 => Response::Held,
            lease => {
                *lease = Some((holder, now));
                Response::Done
            }
        }
    }

    fn write_record(&mut self, record: Arc<Record>, before: Option<&Record>) -> Response {
        let stored = self.api.redis.record.as_deref();
        let fits = match (before, stored) {
            (Some(before), Some(stored)) => {
                Some(stored.seq) == record.seq.checked_sub(1)
                    && (stored.term, &stored.holder) == (before.term, &before.holder)
            }
            (before, stored) => before.is_none() && stored.is_none(),
        };
        if !fits && self.settings.holds(Rule::RecordVersion) {
            return Response::Conflict;
        }
        let read = if self.settings.json {
            let value = serde_json::to_value(&*record).unwrap_or_default();
            Found::read(Some(&value))
        } else {
            Found::Record(Box::new((*record).clone()))
        };
        if read != Found::Record(Box::new((*record).clone())) {
            self.violation(format!("the record does not read back: {read:?}"));
        }
        self.check_record(&record);
        let term = record.term;
        let before = self.api.redis.record.replace(record);
        if before.as_ref().is_some_and(|before| before.term < term) {
            self.api.before = before;
        }
        self.beside(Moment::Recorded);
        let version = self.api.next();
        self.api.redis.version = version;
        self.tell(Change::Redis(Box::new(self.api.redis.clone())));
        Response::Done
    }

    fn put_slice(&mut self, mut slice: EndpointSlice) -> Response {
        let held = self.api.slice.as_ref().and_then(|held| held.resource_version());
        if slice.metadata.resource_version != held && self.settings.holds(Rule::SliceVersion) {
            return Response::Conflict;
        }
        let version = self.api.next();
        slice.metadata.resource_version = Some(version.to_string());
        slice.metadata.uid.get_or_insert_with(|| format!("slice-{version}"));
        let slice = Arc::new(slice);
        self.set_slice(Some(Arc::clone(&slice)));
        // owned by a pod that is gone: collected
        if let Some(owner) = objects::owning_pod(&slice)
            && !self
                .api
                .pods
                .values()
                .any(|pod| pod.uid().as_deref() == Some(&text::uid(owner)))
        {
            self.schedule(self.now + 150_000, Event::Collect(owner));
        }
        Response::Slice(Some(slice))
    }

    /// The slice is this from now on.
    pub fn set_slice(&mut self, slice: Option<Arc<EndpointSlice>>) {
        self.check_slice(slice.as_deref());
        self.beside(Moment::Published);
        self.api.slice.clone_from(&slice);
        let version = self.api.next();
        let published = slice
            .as_deref()
            .map(redis_operator::slice::observed)
            .and_then(|slice| slice.address);
        let address = published.as_deref().and_then(text::read_address);
        for client in 0..self.clients.len() {
            let slow = if self.random.chance(250) { 1_000_000 } else { 80_000 };
            let at = self.now + self.random.between(30_000, slow);
            self.schedule(at, Event::Route(client, version, address));
        }
        self.tell(Change::Slice(slice));
    }

    fn label(&mut self, name: &str, uid: &str, version: &str, label: Label) -> Response {
        let Some(pod) = self.api.pods.get(name).filter(|pod| self.is_as_seen(pod, uid, version)) else {
            return Response::Conflict;
        };
        let mut pod = (**pod).clone();
        match label {
            Label::Master => pod
                .labels_mut()
                .insert(names::LABEL_ROLE.to_owned(), names::ROLE_MASTER.to_owned()),
            Label::Replica => pod
                .labels_mut()
                .insert(names::LABEL_ROLE.to_owned(), names::ROLE_REPLICA.to_owned()),
            Label::None => pod.labels_mut().remove(names::LABEL_ROLE),
        };
        self.put_pod(pod);
        self.check_labels();
        Response::Done
    }

    fn is_as_seen(&self, pod: &Pod, uid: &str, version: &str) -> bool {
        let same =
            pod.metadata.uid.as_deref() == Some(uid) && pod.metadata.resource_version.as_deref() == Some(version);
        same || !self.settings.holds(Rule::PodVersion)
    }

    /// Writes a pod with a new version.
    pub fn put_pod(&mut self, mut pod: Pod) {
        pod.metadata.resource_version = Some(self.api.next().to_string());
        let (name, pod) = (pod.name_any(), Arc::new(pod));
        self.api.pods.insert(name.clone(), Arc::clone(&pod));
        self.tell(Change::Pod(name, Some(pod)));
    }

    /// A pod object is gone.
    pub fn remove_pod(&mut self, name: &str) {
        let Some(pod) = self.api.pods.remove(name) else { return };
        self.api.next();
        self.tell(Change::Pod(name.to_owned(), None));
        if let Some(number) = pod.uid().and_then(|uid| text::read_uid(&uid)) {
            self.schedule(self.now + 150_000, Event::Collect(number));
        }
        self.ask_controller();
    }

    fn apply_set(
        &mut self,
        version: Option<String>,
        holder: &str,
        replicas: i32,
        spec: u32,
        restarted: Option<String>,
    ) -> Response {
        let held = self.api.set.as_ref().and_then(|held| held.resource_version());
        if held.is_some() && version != held && self.settings.holds(Rule::SetVersion) {
            return Response::Conflict;
        }
        self.check_set(holder);
        let version = self.api.next();
        let revision = objects::revision(spec, restarted.as_deref());
        let set = objects::set(holder, replicas, &revision, restarted, version);
        self.api.set = Some(Arc::new(set));
        self.tell(Change::Set(self.api.set.clone()));
        self.ask_controller();
        Response::Done
    }

    /// A node's object changes.
    pub fn put_node(&mut self, node: u8, boot: u32, out_of_service: bool) {
        let mut node_object = objects::node(node, boot, out_of_service);
        if let Some(spec) = &mut node_object.spec {
            spec.unschedulable = self.api.cordoned.contains(&node).then_some(true);
        }
        let node_object = Arc::new(node_object);
        self.api.nodes[usize::from(node)] = Arc::clone(&node_object);
        self.tell(Change::Node(node_object));
    }

    /// A node takes no new pods any more, or takes them again.
    pub fn cordon(&mut self, node: u8, on: bool) {
        if on {
            self.api.cordoned.insert(node);
        } else {
            self.api.cordoned.remove(&node);
        }
        let mut object = (*self.api.nodes[usize::from(node)]).clone();
        if let Some(spec) = &mut object.spec {
            spec.unschedulable = on.then_some(true);
        }
        let object = Arc::new(object);
        self.api.nodes[usize::from(node)] = Arc::clone(&object);
        self.tell(Change::Node(object));
    }

    /// The user asks for other pods.
    pub fn want_spec(&mut self, spec: u32) {
        self.api.redis.spec = spec;
        self.api.specs = self.api.specs.max(spec);
        self.want(|_| ());
    }

    /// The user changes what is wanted.
    pub fn want(&mut self, change: impl FnOnce(&mut Desired)) {
        change(&mut self.api.redis.desired);
        let version = self.api.next();
        self.api.redis.version = version;
        self.tell(Change::Redis(Box::new(self.api.redis.clone())));
    }

    /// Every operator's watch hears of a change, each in its own time and in order.
    pub fn tell(&mut self, change: Change) {
        for number in 0..self.operators.len() {
            if !self.operators[number].alive {
                continue;
            }
            let slow = if self.random.chance(30) { 300_000 } else { 12_000 };
            let at = self.now + self.random.between(1_000, slow);
            let operator = &mut self.operators[number];
            let at = at.max(operator.told).max(operator.deaf_until);
            operator.told = at;
            let epoch = operator.epoch;
            self.schedule(at, Event::Cache(number, epoch, Box::new(change.clone())));
        }
    }
}
