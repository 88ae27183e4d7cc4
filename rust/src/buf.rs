//! What Python hands in.

use core::ops::Range;

use pyo3::buffer::PyBuffer;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyMemoryView};
use zeroize::Zeroizing;

/// From how many bytes on work is done with the interpreter released.
pub const LONG: usize = 8 * 1024;

/// Any object with the buffer protocol. `bytes`, and views of them, are read in place; everything else is copied, because
/// other threads could change it while it is read.
pub struct Input<'py> {
    object: Bound<'py, PyBytes>,
    /// Where in the object; nothing for all of it.
    part: Option<Range<usize>>,
}

impl<'py> Input<'py> {
    /// What a view shows of a `bytes` object, if it is one piece of one.
    fn viewed(view: &Bound<'py, PyMemoryView>) -> Option<Self> {
        let object = view.getattr(intern!(view.py(), "obj")).ok()?.cast_into_exact::<PyBytes>().ok()?;
        let buffer = PyBuffer::<u8>::get(view).ok().filter(|buffer| buffer.is_c_contiguous())?;
        let all = object.as_bytes();
        let start = buffer.buf_ptr().addr().checked_sub(all.as_ptr().addr())?;
        let part = start..start.checked_add(buffer.len_bytes())?;
        let part = (all.get(part.clone())?.len() < all.len()).then_some(part);
        Some(Self { object, part })
    }

    pub fn as_slice(&self) -> &[u8] {
        let all = self.object.as_bytes();
        self.part.clone().map_or(all, |part| &all[part])
    }

    /// The object that holds these bytes and no others.
    pub fn object(&self) -> Option<&Bound<'py, PyBytes>> {
        self.part.is_none().then_some(&self.object)
    }

    /// The object that holds these bytes, and where in it they are.
    pub fn into_parts(self) -> (Py<PyBytes>, Range<usize>) {
        let part = self.part.unwrap_or_else(|| 0..self.object.as_bytes().len());
        (self.object.unbind(), part)
    }
}

impl<'py> FromPyObject<'_, 'py> for Input<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self { object: bytes.to_owned(), part: None });
        }
        let view = PyMemoryView::from(&object)?;
        if let Some(input) = Self::viewed(&view) {
            return Ok(input);
        }
        let copy = view.call_method0(intern!(object.py(), "tobytes"))?;
        Ok(Self { object: copy.cast_into()?, part: None })
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

/// Python's own join: it fills the object that it gives, and releases the interpreter when it is large.
pub fn join(
    py: Python<'_>,
    parts: impl IntoIterator<Item = Py<PyBytes>, IntoIter: ExactSizeIterator>,
) -> PyResult<Bound<'_, PyBytes>> {
    let parts = PyList::new(py, parts)?;
    Ok(PyBytes::new(py, &[]).call_method1(intern!(py, "join"), (parts,))?.cast_into()?)
}
