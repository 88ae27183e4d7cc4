//! What Python hands in.

use pyo3::buffer::PyBuffer;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};
use zeroize::Zeroizing;

/// From how many bytes on work is done with the interpreter released.
const LONG: usize = 8 * 1024;

/// Any object with the buffer protocol. `bytes` are read in place; everything else is copied, because other threads
/// could change it while it is read.
pub struct Input<'py>(Bound<'py, PyBytes>);

impl Input<'_> {
    pub fn as_slice(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub fn to_bytes(&self) -> Py<PyBytes> {
        self.0.clone().unbind()
    }

    pub fn into_bytes(self) -> Py<PyBytes> {
        self.0.unbind()
    }
}

impl<'py> FromPyObject<'_, 'py> for Input<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self(bytes.to_owned()));
        }
        let copy = PyMemoryView::from(&object)?.call_method0("tobytes")?;
        Ok(Self(copy.cast_into()?))
    }
}

/// A secret's bytes. What is not `bytes` is copied to memory that is wiped, not into a Python object.
pub fn secret<'py, T>(object: &Bound<'py, PyAny>, read: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    if !object.is_instance_of::<PyBytes>()
        && let Ok(buffer) = PyBuffer::<u8>::get(object)
    {
        let mut copy = Zeroizing::new(vec![0; buffer.item_count()]);
        buffer.copy_to_slice(object.py(), &mut copy)?;
        return Ok(read(&copy));
    }
    Ok(read(object.extract::<Input<'py>>()?.as_slice()))
}

/// Does `work` on `size` bytes, without the interpreter if it takes long.
pub fn released<T: Send>(py: Python<'_>, size: usize, work: impl FnOnce() -> T + Send) -> T {
    if size < LONG { work() } else { py.detach(work) }
}
