//! Applies JSON merge patches (RFC 7396) and strategic merge patches to JSON trees. Strategic
//! patches know, per resource, which lists are merged by which key; all other lists are replaced
//! as a whole. Pure; the same patch applied twice gives the same object.

use serde_json::{Map, Value};

use super::{object::object_mut, resources::Resource, status::ApiError};

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const SET_ORDER: &str = "$setElementOrder/";

/// How a list is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    /// Element by element, by the value of this member.
    ByKey(&'static str),
    /// As a set of plain values.
    Set,
    /// Not at all.
    Replace,
}

/// The lists that merge, by resource and path; what is not here is replaced.
fn strategy(resource: Resource, path: &[&str]) -> Strategy {
    match (resource, path) {
        (_, ["metadata", "ownerReferences"]) => Strategy::ByKey("uid"),
        (_, ["metadata", "finalizers"]) | (Resource::Nodes, ["spec", "podCIDRs"]) => Strategy::Set,
        (Resource::Nodes, ["status", "conditions" | "addresses"])
        | (Resource::Namespaces, ["status", "conditions"]) => Strategy::ByKey("type"),
        _ => Strategy::Replace,
    }
}

/// Applies a merge patch.
pub(crate) fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// Applies a strategic merge patch to an object of `resource`.
pub(crate) fn strategic(
    resource: Resource,
    target: &mut Value,
    patch: Value,
) -> Result<(), ApiError> {
    let Value::Object(patch) = patch else {
        return Err(ApiError::bad_request(
            "a strategic merge patch must be an object",
        ));
    };
    merge_map(resource, &mut Vec::new(), object_mut(target), patch)
}

fn merge_map(
    resource: Resource,
    path: &mut Vec<String>,
    target: &mut Map<String, Value>,
    mut changes: Map<String, Value>,
) -> Result<(), ApiError> {
    match changes.remove(DIRECTIVE) {
        None => {}
        Some(Value::String(verb)) if verb == "merge" => {}
        Some(Value::String(verb)) if verb == "replace" => {
            *target = plain_map(changes);
            return Ok(());
        }
        Some(Value::String(verb)) if verb == "delete" => {
            target.clear();
            return Ok(());
        }
        Some(other) => return Err(unknown_directive(&other)),
    }
    if let Some(retained) = changes.remove(RETAIN_KEYS) {
        let retained = list(retained, RETAIN_KEYS)?;
        target.retain(|name, _| retained.iter().any(|kept| kept == name.as_str()));
    }
    let mut orders = Vec::new();
    let names: Vec<String> = changes
        .keys()
        .filter(|name| name.starts_with('$'))
        .cloned()
        .collect();
    for name in names {
        let value = changes.remove(&name).unwrap_or_default();
        if let Some(field) = name.strip_prefix(SET_ORDER) {
            orders.push((field.to_owned(), list(value, &name)?));
        } else if let Some(field) = name.strip_prefix(DELETE_FROM) {
            let gone = list(value, &name)?;
            if let Some(Value::Array(items)) = target.get_mut(field) {
                items.retain(|item| !gone.contains(item));
            }
        }
    }
    for (name, value) in changes {
        path.push(name.clone());
        merge_member(resource, path, target, name, value)?;
        path.pop();
    }
    for (field, order) in orders {
        path.push(field.clone());
        let strategy = strategy_at(resource, path);
        if let Some(Value::Array(items)) = target.get_mut(&field) {
            sort_like(strategy, items, &order);
        }
        path.pop();
    }
    Ok(())
}

fn strategy_at(resource: Resource, path: &[String]) -> Strategy {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    strategy(resource, &path)
}

fn merge_member(
    resource: Resource,
    path: &mut Vec<String>,
    target: &mut Map<String, Value>,
    name: String,
    value: Value,
) -> Result<(), ApiError> {
    match value {
        Value::Null => {
            target.remove(&name);
        }
        Value::Object(changes) => {
            let inner = target.entry(name).or_insert(Value::Null);
            merge_map(resource, path, object_mut(inner), changes)?;
        }
        Value::Array(changes) => {
            let mut items = match target.remove(&name) {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            };
            merge_list(
                strategy_at(resource, path),
                (resource, path),
                &mut items,
                changes,
            )?;
            target.insert(name, Value::Array(items));
        }
        scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            target.insert(name, scalar);
        }
    }
    Ok(())
}

fn merge_list(
    strategy: Strategy,
    (resource, path): (Resource, &mut Vec<String>),
    items: &mut Vec<Value>,
    changes: Vec<Value>,
) -> Result<(), ApiError> {
    let is_replacing = |item: &Value| {
        item.get(DIRECTIVE).and_then(Value::as_str) == Some("replace")
            && item.as_object().is_some_and(|map| map.len() == 1)
    };
    if strategy == Strategy::Replace || changes.iter().any(is_replacing) {
        *items = changes
            .into_iter()
            .filter(|item| !is_replacing(item))
            .map(plain)
            .collect();
        return Ok(());
    }
    for element in changes {
        match strategy {
            Strategy::ByKey(key) => merge_element(key, (resource, path), items, element)?,
            Strategy::Set | Strategy::Replace => {
                if !items.contains(&element) {
                    items.push(element);
                }
            }
        }
    }
    Ok(())
}

fn merge_element(
    key: &str,
    (resource, path): (Resource, &mut Vec<String>),
    items: &mut Vec<Value>,
    element: Value,
) -> Result<(), ApiError> {
    let Value::Object(mut element) = element else {
        return Err(ApiError::bad_request(format!(
            "expected a list of objects in {}",
            path.join(".")
        )));
    };
    let Some(id) = element.get(key).cloned() else {
        return Err(ApiError::bad_request(format!(
            "map: {} does not contain declared merge key: {key}",
            Value::Object(element)
        )));
    };
    match element.get(DIRECTIVE).and_then(Value::as_str) {
        Some("delete") => {
            items.retain(|item| item.get(key) != Some(&id));
            return Ok(());
        }
        Some("replace") => {
            items.retain(|item| item.get(key) != Some(&id));
            items.push(Value::Object(plain_map(element)));
            return Ok(());
        }
        Some("merge") => {
            element.remove(DIRECTIVE);
        }
        Some(other) => return Err(unknown_directive(&Value::from(other))),
        None => {}
    }
    let found = items.iter_mut().find(|item| item.get(key) == Some(&id));
    if let Some(Value::Object(found)) = found {
        return merge_map(resource, path, found, element);
    }
    let mut inner = Map::new();
    merge_map(resource, path, &mut inner, element)?;
    items.push(Value::Object(inner));
    Ok(())
}

/// Puts the elements that `order` names in its order; the others stay behind what they followed.
fn sort_like(strategy: Strategy, items: &mut Vec<Value>, order: &[Value]) {
    let key = match strategy {
        Strategy::ByKey(key) => Some(key),
        Strategy::Set => None,
        Strategy::Replace => return,
    };
    let rank = |item: &Value| {
        order.iter().position(|wanted| match key {
            Some(key) => wanted.get(key).is_some() && wanted.get(key) == item.get(key),
            None => wanted == item,
        })
    };
    let mut last = 0;
    let mut ranked: Vec<(usize, Value)> = std::mem::take(items)
        .into_iter()
        .map(|item| {
            last = rank(&item).unwrap_or(last);
            (last, item)
        })
        .collect();
    ranked.sort_by_key(|(rank, _)| *rank);
    items.extend(ranked.into_iter().map(|(_, item)| item));
}

/// A value from a patch that meets nothing to merge with: directives and nulls are dropped.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(plain_map(map)),
        Value::Array(items) => Value::Array(items.into_iter().map(plain).collect()),
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => scalar,
    }
}

fn plain_map(map: Map<String, Value>) -> Map<String, Value> {
    map.into_iter()
        .filter(|(name, value)| !name.starts_with('$') && !value.is_null())
        .map(|(name, value)| (name, plain(value)))
        .collect()
}

fn list(value: Value, name: &str) -> Result<Vec<Value>, ApiError> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => {
            Err(ApiError::bad_request(format!(
                "expected {name} to be a list"
            )))
        }
    }
}

fn unknown_directive(directive: &Value) -> ApiError {
    ApiError::bad_request(format!("unrecognized type of {DIRECTIVE}: {directive}"))
}
