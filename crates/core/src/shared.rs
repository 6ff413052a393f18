//! What the components of one pipeline have in common without knowing each other: budgets that belong to a tenant and
//! not to a source.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// One value of each type that somebody asks for. Clones share them; every pipeline has its own.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>);

impl Shared {
    /// The pipeline's `T`; whoever asks first makes it.
    pub fn get<T: Any + Default + Send + Sync>(&self) -> Arc<T> {
        // A `T` whose `default` panics leaves the map as it was.
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = values.get(&TypeId::of::<T>()).and_then(|value| Arc::clone(value).downcast::<T>().ok());
        known.unwrap_or_else(|| {
            let made = Arc::<T>::default();
            let kept: Arc<dyn Any + Send + Sync> = Arc::<T>::clone(&made);
            values.insert(TypeId::of::<T>(), kept);
            made
        })
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn a_pipeline_has_one_of_each() {
        let one = Shared::default();
        let same = one.clone();
        assert!(Arc::ptr_eq(&one.get::<AtomicUsize>(), &same.get::<AtomicUsize>()));
        assert!(!Arc::ptr_eq(&one.get::<AtomicUsize>(), &Shared::default().get::<AtomicUsize>()));
        assert_eq!(one.get::<Mutex<String>>().lock().unwrap().len(), 0);
    }
}
