//! `bin_prot` values.

use mina_webrtc_core::Result;
use mina_webrtc_core::bin_prot::{Reader, Writer};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::buf::{Input, LONG, join, released};
use crate::errors::raise;

/// Reads `bin_prot` values one after another.
#[pyclass(module = "mina_webrtc._native")]
pub struct BinProtReader {
    data: Py<PyBytes>,
    position: usize,
    end: usize,
}

impl BinProtReader {
    fn reader<'a>(&'a self, py: Python<'a>) -> Reader<'a> {
        Reader::resume(&self.data.as_bytes(py)[..self.end], self.position)
    }

    fn read<T>(&mut self, py: Python<'_>, read: impl FnOnce(&mut Reader<'_>) -> Result<T>) -> PyResult<T> {
        let mut reader = self.reader(py);
        let value = read(&mut reader).map_err(raise)?;
        self.position = reader.position();
        Ok(value)
    }
}

#[pymethods]
#[allow(clippy::redundant_closure_for_method_calls)] // `Reader::nat0` is a function for one lifetime only
impl BinProtReader {
    #[new]
    fn new(data: Input<'_>) -> Self {
        let (data, part) = data.into_parts();
        Self { data, position: part.start, end: part.end }
    }

    /// Bytes not read yet.
    #[getter]
    fn remaining(&self, py: Python<'_>) -> usize {
        self.reader(py).remaining()
    }

    /// An unsigned 64-bit number.
    fn nat0(&mut self, py: Python<'_>) -> PyResult<u64> {
        self.read(py, |reader| reader.nat0())
    }

    /// A signed number that must lie in `low…high`.
    fn integer(&mut self, py: Python<'_>, low: i64, high: i64) -> PyResult<i64> {
        self.read(py, |reader| reader.integer(low, high))
    }

    /// A bool.
    fn boolean(&mut self, py: Python<'_>) -> PyResult<bool> {
        self.read(py, |reader| reader.boolean())
    }

    /// Whether a value follows.
    fn option(&mut self, py: Python<'_>) -> PyResult<bool> {
        self.read(py, |reader| reader.option())
    }

    /// One byte, an enum's index below `count`.
    fn variant(&mut self, py: Python<'_>, count: u16) -> PyResult<u8> {
        self.read(py, |reader| reader.variant(count))
    }

    /// Exactly `length` bytes.
    fn raw<'py>(&mut self, py: Python<'py>, length: u64) -> PyResult<Bound<'py, PyBytes>> {
        self.read(py, |reader| reader.raw(length).map(|bytes| PyBytes::new(py, bytes)))
    }

    /// A length, then that many bytes.
    fn string<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.read(py, |reader| reader.string().map(|bytes| PyBytes::new(py, bytes)))
    }

    /// A list of u8: a length, then one int a byte.
    fn byte_list<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let size = self.remaining(py);
        let bytes = self.read(py, |reader| released(py, size, || reader.byte_list()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Everything that is left.
    fn rest<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        self.read(py, |reader| Ok(PyBytes::new(py, reader.rest())))
    }

    /// Raises when bytes are left over.
    fn finish(&mut self, py: Python<'_>) -> PyResult<()> {
        self.read(py, |reader| reader.finish())
    }
}

/// Writes `bin_prot` values one after another.
#[pyclass(module = "mina_webrtc._native")]
#[derive(Default)]
pub struct BinProtWriter {
    /// Everything up to the last long value, which is kept as it came: its bytes are copied once, when all are together.
    parts: Vec<Py<PyBytes>>,
    last: Writer,
}

#[pymethods]
#[allow(clippy::needless_pass_by_value)] // inputs are borrowed from what Python hands in
impl BinProtWriter {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// An unsigned 64-bit number.
    fn nat0(&mut self, value: u64) {
        self.last.nat0(value);
    }

    /// A signed 64-bit number.
    fn integer(&mut self, value: i64) {
        self.last.integer(value);
    }

    /// A bool.
    fn boolean(&mut self, value: bool) {
        self.last.boolean(value);
    }

    /// Whether a value follows.
    fn option(&mut self, present: bool) {
        self.last.option(present);
    }

    /// An enum's index.
    fn variant(&mut self, index: u8) {
        self.last.variant(index);
    }

    /// The bytes themselves.
    fn raw(&mut self, py: Python<'_>, data: Input<'_>) {
        if let Some(object) = data.object().filter(|object| object.as_bytes().len() >= LONG) {
            self.parts.push(PyBytes::new(py, core::mem::take(&mut self.last).bytes()).unbind());
            self.parts.push(object.clone().unbind());
        } else {
            self.last.raw(data.as_slice());
        }
    }

    /// A length, then the bytes.
    fn string(&mut self, py: Python<'_>, data: Input<'_>) {
        self.last.nat0(data.as_slice().len() as u64);
        self.raw(py, data);
    }

    /// A list of u8: a length, then one int a byte.
    fn byte_list(&mut self, py: Python<'_>, data: Input<'_>) {
        let (writer, data) = (&mut self.last, data.as_slice());
        released(py, data.len(), || writer.byte_list(data));
    }

    /// What was written so far.
    fn getvalue<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let last = PyBytes::new(py, self.last.bytes());
        if self.parts.is_empty() {
            return Ok(last);
        }
        let parts: Vec<_> = self.parts.iter().map(|part| part.clone_ref(py)).chain([last.unbind()]).collect();
        join(py, parts)
    }
}
