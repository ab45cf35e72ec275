//! Tells clients what is served: `/api`, `/apis` and below, aggregated and legacy, `/version`,
//! and as much of `OpenAPI` v3 as makes kubectl leave the validation of fields to the server.

use http::{HeaderMap, header};
use serde_json::{Map, Value, json};

use super::{object::set, resources::Resource};

/// The Kubernetes whose shapes are spoken.
const GIT_VERSION: &str = concat!("v1.34.0+nodling-", env!("CARGO_PKG_VERSION"));

/// The groups served, apart from the core group, with their preferred (only) version.
const GROUPS: [&str; 2] = ["authorization.k8s.io", "coordination.k8s.io"];

/// A document and the media type it is sent as.
pub(crate) struct Document {
    pub(crate) content_type: String,
    pub(crate) body: Value,
}

fn plain(body: Value) -> Document {
    Document {
        content_type: "application/json".to_owned(),
        body,
    }
}

/// Finds the document at a path, if there is one.
pub(crate) fn document(segments: &[&str], headers: &HeaderMap) -> Option<Document> {
    let document = match segments {
        ["api"] => match aggregated_version(headers) {
            Some(version) => aggregated(version, &[""]),
            None => plain(json!({
                "kind": "APIVersions",
                "versions": ["v1"],
                "serverAddressByClientCIDRs": [],
            })),
        },
        ["apis"] => match aggregated_version(headers) {
            Some(version) => aggregated(version, &GROUPS),
            None => plain(json!({
                "kind": "APIGroupList",
                "apiVersion": "v1",
                "groups": GROUPS.map(group),
            })),
        },
        ["api", "v1"] => plain(resource_list("")),
        ["apis", name] if GROUPS.contains(name) => {
            let mut group = group(name);
            set(&mut group, "kind", "APIGroup");
            set(&mut group, "apiVersion", "v1");
            plain(group)
        }
        ["apis", name, "v1"] if GROUPS.contains(name) => plain(resource_list(name)),
        ["version"] => plain(version()),
        ["openapi", "v3"] => plain(openapi_index()),
        ["openapi", "v3", "api", "v1"] => plain(openapi("")),
        ["openapi", "v3", "apis", name, "v1"] if GROUPS.contains(name) => plain(openapi(name)),
        _ => return None,
    };
    Some(document)
}

fn version() -> Value {
    json!({
        "major": "1",
        "minor": "34",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, go_architecture()),
    })
}

fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "arm64",
        "x86_64" => "amd64",
        other => other,
    }
}

fn group(name: &str) -> Value {
    let version = json!({"groupVersion": format!("{name}/v1"), "version": "v1"});
    json!({"name": name, "versions": [version], "preferredVersion": version})
}

fn resources_of(group: &str) -> impl Iterator<Item = Resource> {
    Resource::ALL
        .into_iter()
        .filter(move |resource| resource.facts().group == group)
}

/// The review that `kubectl auth can-i` creates; it is answered, never stored.
fn review() -> Value {
    json!({
        "name": "selfsubjectaccessreviews",
        "singularName": "selfsubjectaccessreview",
        "namespaced": false,
        "kind": "SelfSubjectAccessReview",
        "verbs": ["create"],
    })
}

fn resource_list(group: &str) -> Value {
    let mut resources = Vec::new();
    for facts in resources_of(group).map(Resource::facts) {
        let mut entry = json!({
            "name": facts.plural,
            "singularName": facts.singular,
            "namespaced": facts.is_namespaced,
            "kind": facts.kind,
            "verbs": facts.verbs,
        });
        if !facts.short_names.is_empty() {
            set(&mut entry, "shortNames", json!(facts.short_names));
        }
        if !facts.categories.is_empty() {
            set(&mut entry, "categories", json!(facts.categories));
        }
        resources.push(entry);
        if facts.has_status {
            resources.push(json!({
                "name": format!("{}/status", facts.plural),
                "singularName": "",
                "namespaced": facts.is_namespaced,
                "kind": facts.kind,
                "verbs": ["get", "patch", "update"],
            }));
        }
    }
    if group == "authorization.k8s.io" {
        resources.push(review());
    }
    let group_version = if group.is_empty() {
        "v1".to_owned()
    } else {
        format!("{group}/v1")
    };
    json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": group_version,
        "resources": resources,
    })
}

/// The newest aggregated form that the client asks for and we know.
fn aggregated_version(headers: &HeaderMap) -> Option<&'static str> {
    let accept = headers.get(header::ACCEPT)?.to_str().ok()?;
    accept.split(',').find_map(|range| {
        let parts: Vec<&str> = range.split(';').map(str::trim).collect();
        let is_aggregated = parts.contains(&"as=APIGroupDiscoveryList")
            && parts.contains(&"g=apidiscovery.k8s.io")
            && parts.first() == Some(&"application/json");
        ["v2", "v2beta1"]
            .into_iter()
            .find(|version| is_aggregated && parts.contains(&format!("v={version}").as_str()))
    })
}

fn aggregated(version: &str, groups: &[&str]) -> Document {
    let items: Vec<Value> = groups.iter().map(|group| aggregated_group(group)).collect();
    Document {
        content_type: format!(
            "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
        ),
        body: json!({
            "kind": "APIGroupDiscoveryList",
            "apiVersion": format!("apidiscovery.k8s.io/{version}"),
            "metadata": {},
            "items": items,
        }),
    }
}

fn aggregated_group(group: &str) -> Value {
    let mut resources: Vec<Value> = resources_of(group).map(aggregated_resource).collect();
    if group == "authorization.k8s.io" {
        resources.push(json!({
            "resource": "selfsubjectaccessreviews",
            "responseKind":
                {"group": group, "version": "v1", "kind": "SelfSubjectAccessReview"},
            "scope": "Cluster",
            "singularResource": "selfsubjectaccessreview",
            "verbs": ["create"],
        }));
    }
    let metadata = if group.is_empty() {
        json!({})
    } else {
        json!({"name": group})
    };
    json!({
        "metadata": metadata,
        "versions": [{"version": "v1", "freshness": "Current", "resources": resources}],
    })
}

fn aggregated_resource(resource: Resource) -> Value {
    let facts = resource.facts();
    let kind = json!({"group": facts.group, "version": facts.version, "kind": facts.kind});
    let mut entry = json!({
        "resource": facts.plural,
        "responseKind": kind,
        "scope": if facts.is_namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": facts.singular,
        "verbs": facts.verbs,
    });
    if !facts.short_names.is_empty() {
        set(&mut entry, "shortNames", json!(facts.short_names));
    }
    if !facts.categories.is_empty() {
        set(&mut entry, "categories", json!(facts.categories));
    }
    if facts.has_status {
        let status = json!([{
            "subresource": "status",
            "responseKind": kind,
            "verbs": ["get", "patch", "update"],
        }]);
        set(&mut entry, "subresources", status);
    }
    entry
}

fn openapi_index() -> Value {
    let mut paths = Map::new();
    let mut add = |path: String| {
        let url = format!("/openapi/v3/{path}?hash={}", env!("CARGO_PKG_VERSION"));
        paths.insert(path, json!({"serverRelativeURL": url}));
    };
    add("api/v1".to_owned());
    for group in GROUPS {
        add(format!("apis/{group}/v1"));
    }
    json!({"paths": paths})
}

/// No schemas, only the one thing kubectl looks for before it sends an object: that the server
/// takes `fieldValidation`, and hence judges fields itself.
fn openapi(group: &str) -> Value {
    let parameter = |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let mut paths = Map::new();
    for facts in resources_of(group).map(Resource::facts) {
        let root = if group.is_empty() {
            "/api/v1".into()
        } else {
            format!("/apis/{group}/v1")
        };
        let scope = if facts.is_namespaced {
            "/namespaces/{namespace}"
        } else {
            ""
        };
        let operation = json!({
            "parameters": [parameter("dryRun"), parameter("fieldValidation")],
            "responses": {"200": {"description": "OK"}},
            "x-kubernetes-group-version-kind":
                {"group": facts.group, "version": facts.version, "kind": facts.kind},
        });
        let path = format!("{root}{scope}/{}/{{name}}", facts.plural);
        paths.insert(path, json!({"patch": operation}));
    }
    json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": GIT_VERSION},
        "paths": paths,
        "components": {"schemas": {}},
    })
}
