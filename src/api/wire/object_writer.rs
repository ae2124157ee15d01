//! Writes JSON objects member by member.

use serde::Serialize;
use serde_json::Error;

/// A JSON object under construction. Member names must not need escaping.
#[derive(Debug)]
pub struct ObjectWriter(Vec<u8>);

impl ObjectWriter {
    /// An object without members, in a buffer of `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        let mut bytes = Vec::with_capacity(capacity);
        bytes.push(b'{');
        Self(bytes)
    }

    /// An object with the members of a struct or a map.
    ///
    /// # Errors
    /// Returns an error if serialization fails or if `value` does not serialize to an object.
    pub fn of(value: &impl Serialize) -> Result<Self, Error> {
        let mut bytes = serde_json::to_vec(value)?;
        match bytes.pop() {
            Some(b'}') => Ok(Self(bytes)),
            _ => Err(serde::ser::Error::custom("the value is not an object")),
        }
    }

    /// Reserves space in the buffer.
    pub fn reserve(&mut self, additional: usize) {
        self.0.reserve(additional);
    }

    /// Adds a member.
    ///
    /// # Errors
    /// Returns an error if serialization fails.
    pub fn member(&mut self, name: &str, value: &impl Serialize) -> Result<(), Error> {
        serde_json::to_writer(self.value_of(name), value)
    }

    /// Adds the name of a member. The caller appends the value as JSON to the returned buffer.
    pub fn value_of(&mut self, name: &str) -> &mut Vec<u8> {
        self.separate();
        self.0.push(b'"');
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        &mut self.0
    }

    /// Adds members from the result of [`into_members`](Self::into_members).
    pub fn members(&mut self, members: &[u8]) {
        if !members.is_empty() {
            self.separate();
            self.0.extend_from_slice(members);
        }
    }

    /// The members without the braces.
    pub fn into_members(mut self) -> Vec<u8> {
        self.0.remove(0);
        self.0
    }

    /// The whole object.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }

    fn separate(&mut self) {
        // No value ends with `{`, so this byte means that there is no member yet.
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_separated() {
        let mut inner = ObjectWriter::with_capacity(0);
        assert_eq!(ObjectWriter::with_capacity(0).finish(), b"{}");
        inner.member("a", &"{").expect("written");
        inner.member("b", &[1, 2]).expect("written");
        let members = inner.into_members();
        let mut outer = ObjectWriter::of(&serde_json::json!({})).expect("an object");
        outer.members(&members);
        outer.members(b"");
        outer.value_of("c").extend_from_slice(b"null");
        assert_eq!(outer.finish(), br#"{"a":"{","b":[1,2],"c":null}"#);
        assert!(ObjectWriter::of(&[1]).is_err());
    }
}
