//! JSON objects. By default serde also accepts an array of a struct's fields in order, which the OpenAPI document does
//! not allow.

use std::fmt;
use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::error::Category;

use crate::api::problem::Problem;

/// A value that is deserialized from an object and from nothing else.
#[derive(Debug)]
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

/// Reads an optional member that must not be null, for `#[serde(default, deserialize_with)]`. By default serde treats
/// null like an absent member.
pub fn present<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads an object, for `#[serde(deserialize_with)]`.
pub fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Object::deserialize(deserializer).map(|Object(value)| value)
}

/// Reads an object that is present, for `#[serde(default, deserialize_with)]`; null is refused.
pub fn present_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    object(deserializer).map(Some)
}

/// Reads a list of objects, for `#[serde(deserialize_with)]`.
pub fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(value)| value).collect())
}

/// Reads a request from the bytes of a JSON object.
///
/// # Errors
/// Returns 400 with the field that has an error, or `body` if the bytes are not one JSON object.
pub fn read_object<T: DeserializeOwned>(raw: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(raw);
    let Object(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let message = error.inner().to_string();
        // A syntax error concerns the whole body. Exception: an invalid escape, such as half of a surrogate pair, has a
        // known field.
        let is_json = error.inner().classify() == Category::Data || message.contains("escape");
        let path = if is_json { error.path().to_string() } else { ".".to_owned() };
        let field = field_at_fault(&path, &message);
        Problem::malformed(field, message)
    })?;
    json.end().map_err(|error| Problem::malformed("body", error.to_string()))?;
    Ok(value)
}

/// The field that has the error. For a missing field the path ends at its object, and only the message contains the
/// field's name.
fn field_at_fault(path: &str, message: &str) -> String {
    let missing = message.strip_prefix("missing field `").and_then(|rest| rest.split_once('`'));
    match (path, missing) {
        (".", None) => "body".to_owned(),
        (".", Some((name, _))) => name.to_owned(),
        (path, None) => path.to_owned(),
        (path, Some((name, _))) => format!("{path}.{name}"),
    }
}
