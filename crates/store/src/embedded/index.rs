//! The index on disk: opened, built anew for another schema, written by one writer, read after each commit.

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use tantivy::{
    Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, Term,
    directory::MmapDirectory,
    query::Query,
    schema::{Field, IndexRecordOption, Value},
    tokenizer::TextAnalyzer,
};

use super::schema::{Fields, WORDS, WordTokenizer};
use crate::{Created, ErrorKind, NewSession, StoreError};

/// Memory in which the writer gathers sessions before it writes a segment.
const WRITER_BYTES: usize = 64 << 20;

/// Sessions that wait for a commit at most, in bytes of JSON; with more, `create` commits by itself.
const MAX_PENDING_BYTES: usize = 64 << 20;

/// Longest `_id`, as in OpenSearch.
const MAX_ID_BYTES: usize = 512;

/// Largest document, in bytes of JSON.
const MAX_DOCUMENT_BYTES: usize = 16 << 20;

/// Documents committed at a time when the index is built anew.
const REBUILD_BATCH: usize = 20_000;

/// A tantivy index, its one writer and its reader.
pub(super) struct SessionIndex {
    pub(super) fields: Fields,
    index: Index,
    reader: IndexReader,
    state: Mutex<State>,
}

struct State {
    /// `None` after an error, until the next use makes a new one.
    writer: Option<IndexWriter>,
    /// Created and not yet committed, by `_id`. Kept until a commit succeeds, so that a full disk loses nothing.
    pending: HashMap<String, NewSession>,
    pending_bytes: usize,
    /// What is pending must be given to a new writer.
    broken: bool,
}

fn storage(what: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StoreError {
    StoreError::caused(ErrorKind::Storage, what, error)
}

impl SessionIndex {
    /// Opens the index in `folder`. One that another catalogue made is built anew from the documents stored in it.
    pub(super) fn open(folder: &Path, fields: Fields) -> Result<Self, StoreError> {
        fs::create_dir_all(folder).map_err(|error| storage("the folder of the session index can't be made", error))?;
        let path = folder.join(format!("index-{}", fields.hash));
        let others =
            other_indices(folder, &path).map_err(|error| storage("the session index can't be listed", error))?;
        let unreadable = |error: tantivy::TantivyError| {
            storage(&format!("the session index in {} can't be opened", folder.display()), error)
        };
        if !path.exists() {
            rebuild(&fields, folder, &path, &others).map_err(unreadable)?;
        }
        for other in others {
            fs::remove_dir_all(&other).map_err(|error| storage("an old session index can't be removed", error))?;
        }
        let index = open_or_create(&path, &fields).map_err(unreadable)?;
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into().map_err(unreadable)?;
        let state = State { writer: None, pending: HashMap::new(), pending_bytes: 0, broken: false };
        Ok(Self { fields, index, reader, state: Mutex::new(state) })
    }

    /// What was committed last.
    pub(super) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    pub(super) fn create(&self, sessions: Vec<NewSession>) -> Result<Vec<Created>, StoreError> {
        let parsed: Vec<Result<TantivyDocument, String>> = sessions.iter().map(|session| self.parse(session)).collect();
        let mut state = self.lock();
        let mut answers = Vec::with_capacity(sessions.len());
        for (session, document) in sessions.into_iter().zip(parsed) {
            let document = match document {
                Ok(document) => document,
                Err(reason) => {
                    answers.push(Created::Rejected(reason));
                    continue;
                }
            };
            if state.pending.contains_key(&session.id) || self.is_committed(&session.id)? {
                answers.push(Created::Exists);
                continue;
            }
            if state.pending_bytes > MAX_PENDING_BYTES && self.commit(&mut state).is_err() {
                answers.push(Created::Busy);
                continue;
            }
            let added = self.writer(&mut state).and_then(|writer| {
                writer.add_document(document).map_err(|error| storage("a session can't be written", error))
            });
            if let Err(error) = added {
                tracing::warn!(%error, "the session index takes no documents");
                state.broken = true;
                answers.push(Created::Busy);
                continue;
            }
            state.pending_bytes += session.json.len();
            state.pending.insert(session.id.clone(), session);
            answers.push(Created::Created);
        }
        Ok(answers)
    }

    /// Commits what is pending. Callers that waited for each other share one commit.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.pending.is_empty() { Ok(()) } else { self.commit(&mut state) }
    }

    /// Deletes what matches; how many there were.
    pub(super) fn delete(&self, query: Box<dyn Query>) -> Result<u64, StoreError> {
        let mut state = self.lock();
        if !state.pending.is_empty() {
            self.commit(&mut state)?;
        }
        let counted = self.searcher().search(query.as_ref(), &tantivy::collector::Count);
        let count = counted.map_err(|error| storage("sessions to delete can't be counted", error))?;
        if count > 0 {
            let writer = self.writer(&mut state)?;
            let marked = writer.delete_query(query);
            marked.map_err(|error| storage("sessions can't be deleted", error))?;
            self.commit(&mut state)?;
        }
        Ok(count as u64)
    }

    /// Commits and waits for merges that run.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        let mut state = self.lock();
        if !state.pending.is_empty() {
            self.commit(&mut state)?;
        }
        match state.writer.take() {
            Some(writer) => {
                writer.wait_merging_threads().map_err(|error| storage("the session index can't be closed", error))
            }
            None => Ok(()),
        }
    }

    fn parse(&self, session: &NewSession) -> Result<TantivyDocument, String> {
        if session.id.is_empty() || session.id.len() > MAX_ID_BYTES {
            return Err(format!("the id must have 1 to {MAX_ID_BYTES} bytes"));
        }
        if session.index.is_empty() || session.index.len() > MAX_ID_BYTES {
            return Err(format!("the name of the index must have 1 to {MAX_ID_BYTES} bytes"));
        }
        if session.json.len() > MAX_DOCUMENT_BYTES {
            return Err(format!("the document has more than {MAX_DOCUMENT_BYTES} bytes"));
        }
        self.fields.document(&session.index, &session.id, &session.json)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_committed(&self, id: &str) -> Result<bool, StoreError> {
        let term = Term::from_field_text(self.fields.id, id);
        let found = has_term(&self.searcher(), &term);
        found.map_err(|error| storage("the ids of the session index can't be read", error))
    }

    /// The writer; after an error a new one, which is given what is pending again.
    fn writer<'state>(&self, state: &'state mut State) -> Result<&'state mut IndexWriter, StoreError> {
        if state.broken {
            // the old one holds the lock until it is gone
            state.writer = None;
        }
        if state.writer.is_none() {
            let writer: IndexWriter = self
                .index
                .writer_with_num_threads(1, WRITER_BYTES)
                .map_err(|error| storage("the writer of the session index can't be started", error))?;
            if state.broken {
                self.reader.reload().map_err(|error| storage("the session index can't be reloaded", error))?;
                let mut known = Vec::new();
                for (id, session) in &state.pending {
                    if self.is_committed(id)? {
                        known.push(id.clone());
                        continue;
                    }
                    if let Ok(document) = self.parse(session) {
                        let added = writer.add_document(document);
                        added.map_err(|error| storage("a session can't be written again", error))?;
                    }
                }
                known.iter().for_each(|id| drop(state.pending.remove(id)));
                state.broken = false;
            }
            state.writer = Some(writer);
        }
        state.writer.as_mut().ok_or_else(|| StoreError::new(ErrorKind::Storage, "the session index has no writer"))
    }

    fn commit(&self, state: &mut State) -> Result<(), StoreError> {
        let committed = self.writer(state)?.commit();
        if let Err(error) = committed {
            state.broken = true;
            return Err(storage("sessions can't be committed", error));
        }
        state.pending.clear();
        state.pending_bytes = 0;
        self.reader.reload().map_err(|error| storage("the session index can't be reloaded", error))
    }
}

/// True where a document that is not deleted has the term.
fn has_term(searcher: &Searcher, term: &Term) -> tantivy::Result<bool> {
    for reader in searcher.segment_readers() {
        let inverted = reader.inverted_index(term.field())?;
        let Some(info) = inverted.get_term_info(term)? else { continue };
        let Some(alive) = reader.alive_bitset() else { return Ok(true) };
        let mut postings = inverted.read_block_postings_from_terminfo(&info, IndexRecordOption::Basic)?;
        while !postings.docs().is_empty() {
            if postings.docs().iter().any(|&document| alive.is_alive(document)) {
                return Ok(true);
            }
            postings.advance();
        }
    }
    Ok(false)
}

fn open_or_create(path: &Path, fields: &Fields) -> tantivy::Result<Index> {
    fs::create_dir_all(path)?;
    let directory = MmapDirectory::open(path)?;
    let settings = IndexSettings { docstore_compression: tantivy::store::Compressor::Lz4, ..IndexSettings::default() };
    let index = if Index::exists(&directory)? {
        Index::open(directory)?
    } else {
        Index::create(directory, fields.schema.clone(), settings)?
    };
    index.tokenizers().register(WORDS, TextAnalyzer::builder(WordTokenizer).build());
    Ok(index)
}

/// Folders of indices that another schema made, or that were left half built.
fn other_indices(folder: &Path, current: &Path) -> io::Result<Vec<PathBuf>> {
    let mut others = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_index = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("index-"));
        if is_index && path != current {
            others.push(path);
        }
    }
    Ok(others)
}

/// Builds an index at `path` from the documents of the others. It gets its name when it is whole.
fn rebuild(fields: &Fields, folder: &Path, path: &Path, others: &[PathBuf]) -> tantivy::Result<()> {
    let building = folder.join(format!("index-{}.building", fields.hash));
    if building.exists() {
        fs::remove_dir_all(&building)?;
    }
    let index = open_or_create(&building, fields)?;
    for other in others.iter().filter(|other| other.extension().is_none()) {
        let old = Index::open_in_dir(other)?;
        let schema = old.schema();
        let stored = ["_index", "_id", "_json"].map(|name| schema.get_field(name));
        let [Ok(index_name), Ok(id), Ok(json)] = stored else { continue };
        tracing::info!(from = %other.display(), "the session index is built anew for another field catalogue");
        let mut writer: IndexWriter = index.writer_with_num_threads(1, WRITER_BYTES)?;
        let mut count = 0_usize;
        for reader in old.reader()?.searcher().segment_readers() {
            let store = reader.get_store_reader(4)?;
            for document in store.iter::<TantivyDocument>(reader.alive_bitset()) {
                let document = document?;
                let (index_name, id, json) = (text(&document, index_name), text(&document, id), bytes(&document, json));
                match fields.document(index_name, id, json) {
                    Ok(document) => drop(writer.add_document(document)?),
                    Err(reason) => tracing::warn!(id, reason, "a stored session can't be indexed again"),
                }
                count += 1;
                if count.is_multiple_of(REBUILD_BATCH) {
                    writer.commit()?;
                }
            }
        }
        writer.commit()?;
        writer.wait_merging_threads()?;
    }
    drop(index);
    fs::rename(&building, path)?;
    fs::File::open(folder)?.sync_all()?;
    Ok(())
}

/// A stored text; empty where there is none.
pub(super) fn text(document: &TantivyDocument, field: Field) -> &str {
    document.get_first(field).and_then(|value| value.as_str()).unwrap_or_default()
}

/// Stored bytes; empty where there are none.
pub(super) fn bytes(document: &TantivyDocument, field: Field) -> &[u8] {
    document.get_first(field).and_then(|value| value.as_bytes()).unwrap_or_default()
}
