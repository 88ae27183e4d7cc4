//! Messages and chunks.

use mina_webrtc_core::frames::{self, CHUNK, Piece, Splitter};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use crate::buf::{Input, join};
use crate::errors::raise;

/// A chunk of this many bytes is kept as it is: whoever sent it paid for more than what it takes to know it.
const LARGE: usize = 1024;

/// After so many chunks other threads get a turn: 4 MiB are copied in about a millisecond.
const TURN: usize = 256;

/// Puts messages together from a channel's chunks, cut anywhere.
#[pyclass(module = "mina_webrtc._native")]
pub struct FrameDecoder {
    splitter: Splitter,
    held: Held,
}

#[pymethods]
impl FrameDecoder {
    #[new]
    fn new(max_message: u32) -> Self {
        Self { splitter: Splitter::new(max_message), held: Held::default() }
    }

    /// Another largest payload from now on.
    fn allow(&mut self, max_message: u32) {
        self.splitter.allow(max_message);
    }

    /// The payloads that `data` completes, in order.
    #[allow(clippy::needless_pass_by_value)] // it is what every method takes
    fn receive_data<'py>(&mut self, py: Python<'py>, data: Input<'py>) -> PyResult<Bound<'py, PyList>> {
        let mut found = Vec::new();
        self.read(py, &data, &mut found)?;
        PyList::new(py, found)
    }

    /// The payloads that many chunks complete, in order.
    fn receive_batch<'py>(
        &mut self,
        py: Python<'py>,
        chunks: &Bound<'py, PyList>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut found = Vec::new();
        for chunk in &inputs(chunks)? {
            self.read(py, chunk, &mut found)?;
        }
        PyList::new(py, found)
    }

    /// Bytes of an unfinished message held now, prefix included.
    #[getter]
    fn buffered(&self) -> usize {
        self.splitter.buffered()
    }
}

impl FrameDecoder {
    fn read<'py>(
        &mut self,
        py: Python<'py>,
        chunk: &Input<'py>,
        found: &mut Vec<Bound<'py, PyBytes>>,
    ) -> PyResult<()> {
        let Self { splitter, held } = self;
        let mut joined = Ok(());
        let read = splitter.read(chunk.as_slice(), |piece| match piece {
            Piece::Held(bytes) => held.keep(py, chunk, bytes),
            Piece::Last(bytes) => {
                held.keep(py, chunk, bytes);
                match held.join(py) {
                    Ok(message) => found.push(message),
                    Err(error) => joined = Err(error),
                }
            }
            Piece::Whole(bytes) => found.push(PyBytes::new(py, bytes)),
        });
        if read.is_err() {
            *held = Held::default();
        }
        read.map_err(raise).and(joined)
    }
}

/// The payload of an unfinished message: large chunks as they came, so that a byte is copied only once, when the message
/// is complete and its size known; small ones together.
#[derive(Default)]
struct Held {
    parts: Vec<Py<PyBytes>>,
    small: Vec<u8>,
}

impl Held {
    fn keep(&mut self, py: Python<'_>, chunk: &Input<'_>, bytes: &[u8]) {
        if bytes.len() < LARGE {
            self.small.extend_from_slice(bytes);
            if self.small.len() >= CHUNK {
                self.pack(py);
            }
            return;
        }
        self.pack(py);
        let whole = chunk.object().filter(|object| object.as_bytes().len() == bytes.len());
        self.parts.push(whole.map_or_else(|| PyBytes::new(py, bytes), Bound::clone).unbind());
    }

    fn pack(&mut self, py: Python<'_>) {
        if !self.small.is_empty() {
            self.parts.push(PyBytes::new(py, &self.small).unbind());
            self.small.clear();
        }
    }

    fn join<'py>(&mut self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        if self.parts.is_empty() {
            let message = PyBytes::new(py, &self.small);
            self.small.clear();
            return Ok(message);
        }
        self.pack(py);
        join(py, core::mem::take(&mut self.parts))
    }
}

/// One message as data-channel messages.
#[pyfunction]
#[allow(clippy::needless_pass_by_value)] // the chunks borrow from it
pub fn frame_chunks<'py>(py: Python<'py>, payload: Input<'py>) -> PyResult<Bound<'py, PyList>> {
    let mut found = Vec::new();
    cut(py, &payload, &mut found)?;
    PyList::new(py, found)
}

/// Many messages as data-channel messages, one after the other.
#[pyfunction]
pub fn frame_batch<'py>(py: Python<'py>, payloads: &Bound<'py, PyList>) -> PyResult<Bound<'py, PyList>> {
    let payloads = inputs(payloads)?;
    let mut found = Vec::with_capacity(payloads.len());
    for payload in &payloads {
        cut(py, payload, &mut found)?;
    }
    PyList::new(py, found)
}

fn inputs<'py>(list: &Bound<'py, PyList>) -> PyResult<Vec<Input<'py>>> {
    list.iter().map(|item| item.extract()).collect()
}

/// Each chunk is written once, into the object that Python gets. Objects are made with the interpreter held, so it is
/// offered to other threads now and then.
fn cut<'py>(py: Python<'py>, payload: &Input<'py>, found: &mut Vec<Bound<'py, PyBytes>>) -> PyResult<()> {
    for chunk in frames::chunks(payload.as_slice()).map_err(raise)? {
        found.push(match chunk.plain() {
            Some(body) => PyBytes::new(py, body),
            None => PyBytes::new_with(py, chunk.size(), |target| {
                chunk.write(target);
                Ok(())
            })?,
        });
        if found.len().is_multiple_of(TURN) {
            py.detach(|| ());
        }
    }
    Ok(())
}
