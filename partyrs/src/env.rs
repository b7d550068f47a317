//! What the program gives to its rooms: values by type, set once when the host is built.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;

/// Values by type, shared by all rooms and static hooks of a host.
#[derive(Default)]
pub struct Env {
    values: HashMap<TypeId, Box<dyn Any + Send + Sync>>,
}

/// The program gave no value of this type to its host.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the host has no env value of type {type_name}; give it one with `Host::builder().env(..)`")]
pub struct MissingEnv {
    type_name: &'static str,
}

impl Env {
    /// Without any value.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `value` in; a second value of the same type replaces the first.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        self.values.insert(TypeId::of::<T>(), Box::new(value));
    }

    /// The value of type `T`.
    ///
    /// # Errors
    ///
    /// [`MissingEnv`] if none was put in.
    pub fn get<T: Send + Sync + 'static>(&self) -> Result<&T, MissingEnv> {
        let value = self.values.get(&TypeId::of::<T>()).and_then(|value| value.downcast_ref());
        value.ok_or(MissingEnv { type_name: type_name::<T>() })
    }
}

impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env").field("values_count", &self.values.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_value_is_named_by_its_type() {
        let mut env = Env::new();
        env.insert(7_u8);
        assert_eq!(env.get::<u8>(), Ok(&7));
        assert!(env.get::<String>().unwrap_err().to_string().contains("alloc::string::String"));
    }
}
