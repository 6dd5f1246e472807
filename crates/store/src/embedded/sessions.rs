//! The session store of `skycap local`.

use std::{path::Path, sync::Arc};

use async_trait::async_trait;
use skycap_model::{Catalogue, FilesDocument, Shape, core_fields};
use skycap_query::{Expression, FileKey};
use tantivy::{
    TantivyDocument, Term,
    query::{BooleanQuery, Occur, Query, TermSetQuery},
};

use super::{
    aggregate::{self, failed},
    files::Files,
    index::{SessionIndex, bytes, text},
    schema::Fields,
    select::{Hit, Order},
    translate::Translation,
};
use crate::{
    Aggregation, Bucket, Capabilities, Created, ErrorKind, FilesPage, FilesQuery, NewSession, Page, PutFile, Scope,
    Search, SessionStore, StoreError, StoredSession, Versioned,
};

/// Farthest place that `from` and `size` reach; walks beyond use [`Search::after`].
pub const MAX_WINDOW: usize = 250_000;

/// Most keys of a sort.
pub const MAX_SORT_KEYS: usize = 16;

/// Sessions in a tantivy index and files documents in redb, both in one folder.
///
/// Ids are unique over all indices here, not per index only: an id begins with the hash of its object, whose
/// sessions' indices are a function of the object.
#[derive(Clone)]
pub struct EmbeddedSessions {
    inner: Arc<Inner>,
}

struct Inner {
    catalogue: &'static Catalogue,
    index: SessionIndex,
    files: Files,
}

impl EmbeddedSessions {
    /// Opens or makes `sessions/` and `files.redb` in `folder`. An index that another catalogue made is built anew
    /// from its documents, which takes minutes for millions of them.
    ///
    /// Nobody else may have them open: the folder's lock is the caller's business.
    pub fn open(folder: &Path, catalogue: &'static Catalogue) -> Result<Self, StoreError> {
        let index = SessionIndex::open(&folder.join("sessions"), Fields::new(catalogue))?;
        let files = Files::open(&folder.join("files.redb"))?;
        Ok(Self { inner: Arc::new(Inner { catalogue, index, files }) })
    }

    /// Names of the objects whose files document says that nothing is left to do.
    pub(super) async fn settled(&self) -> Result<std::collections::HashSet<String>, StoreError> {
        self.run(|inner| inner.files.settled()).await
    }

    /// Commits what is pending and waits for merges that run.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.run(|inner| inner.index.close()).await
    }

    /// Runs a call that may block on a thread that may.
    async fn run<T: Send + 'static>(
        &self,
        call: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = self.inner.clone();
        let ran = tokio::task::spawn_blocking(move || call(&inner)).await;
        ran.map_err(|error| StoreError::caused(ErrorKind::Busy, "the session store was stopped", error))?
    }
}

impl Inner {
    fn translation(&self) -> Translation<'_> {
        Translation { fields: &self.index.fields, catalogue: self.catalogue }
    }

    fn stored(&self, document: &TantivyDocument) -> Result<StoredSession, StoreError> {
        let fields = &self.index.fields;
        let id = text(document, fields.id);
        let json = serde_json::from_slice(bytes(document, fields.json)).map_err(|error| {
            StoreError::caused(ErrorKind::Storage, format!("session {id} can't be understood"), error)
        })?;
        let index = text(document, fields.index).to_owned();
        Ok(StoredSession { index, id: id.to_owned(), document: json, after: Vec::new() })
    }

    fn fetch(&self, searcher: &tantivy::Searcher, hit: &Hit) -> Result<StoredSession, StoreError> {
        let document: TantivyDocument = searcher.doc(hit.address).map_err(failed)?;
        Ok(StoredSession { after: hit.token(), ..self.stored(&document)? })
    }

    fn search(&self, scope: &Scope, search: &Search) -> Result<Page, StoreError> {
        let end = search.from.checked_add(search.size).filter(|&end| end <= MAX_WINDOW);
        let Some(end) = end else {
            let message = format!("at most {MAX_WINDOW} sessions can be paged by number: narrow the search");
            return Err(StoreError::new(ErrorKind::Invalid, message));
        };
        if search.sort.len() > MAX_SORT_KEYS {
            return Err(StoreError::new(ErrorKind::Invalid, format!("more than {MAX_SORT_KEYS} keys to sort by")));
        }
        let fields = &self.index.fields;
        let query = self.translation().scoped(scope, &search.expression)?;
        let order = Order::new(fields, &search.sort, Some(core_fields::FILE_ID));
        let after = search.after.as_ref().map(|token| order.parse(token)).transpose()?;
        let searcher = self.index.searcher();
        let (first, most) = if after.is_some() { (0, search.size) } else { (search.from, end) };
        // a page of nothing asks for the count only
        let most = if search.size == 0 { 0 } else { most };
        let found = order.select(fields, &searcher, query.as_ref(), after.as_deref(), most);
        let (hits, total) = found.map_err(failed)?;
        let sessions: Result<Vec<_>, _> = hits.iter().skip(first).map(|hit| self.fetch(&searcher, hit)).collect();
        Ok(Page { sessions: sessions?, total })
    }

    fn session(&self, scope: &Scope, id: &str) -> Result<Option<StoredSession>, StoreError> {
        let fields = &self.index.fields;
        let by_id = TermSetQuery::new([Term::from_field_text(fields.id, id)]);
        let visible = self.translation().scoped(scope, &Expression::Everything)?;
        let query = BooleanQuery::new(vec![(Occur::Must, Box::new(by_id)), (Occur::Must, visible)]);
        let searcher = self.index.searcher();
        let order = Order::new(fields, &[], Some(core_fields::FILE_ID));
        let (hits, _) = order.select(fields, &searcher, &query, None, 1).map_err(failed)?;
        hits.first().map(|hit| self.fetch(&searcher, hit)).transpose()
    }

    fn aggregate(
        &self,
        scope: &Scope,
        expression: &Expression,
        aggregation: &Aggregation,
    ) -> Result<Vec<Bucket>, StoreError> {
        let query = self.translation().scoped(scope, expression)?;
        let searcher = self.index.searcher();
        let fields = &self.index.fields;
        match aggregation {
            Aggregation::Histogram { interval_ms } => {
                aggregate::histogram(self.catalogue, &searcher, query.as_ref(), *interval_ms)
            }
            Aggregation::Terms { field, size } => {
                let row = self.catalogue.field(*field);
                if row.unsearched || matches!(row.shape, Shape::Virtual | Shape::Object) {
                    let message = format!("values of {} can't be counted", row.expression);
                    return Err(StoreError::new(ErrorKind::Invalid, message));
                }
                let place = fields.slot(*field).and_then(|slot| slot.value);
                aggregate::terms(fields, &searcher, query.as_ref(), place, *size)
            }
        }
    }

    fn delete_object(&self, node: &str, file_id: u64, indices: &[String]) -> Result<u64, StoreError> {
        let translation = self.translation();
        let file_id = i64::try_from(file_id).map_err(|error| {
            StoreError::caused(ErrorKind::Invalid, format!("{file_id} is no number of a file"), error)
        })?;
        let object = translation.file(&FileKey { node: node.to_owned(), file_id });
        let names = indices.iter().map(|name| Term::from_field_text(self.index.fields.index, name));
        let within = TermSetQuery::new(names);
        let query = BooleanQuery::new(vec![(Occur::Must, object), (Occur::Must, Box::new(within))]);
        self.index.delete(Box::new(query) as Box<dyn Query>)
    }

    /// Files of which the scope shows a session; all where the scope hides none.
    fn files(&self, scope: &Scope, query: &FilesQuery) -> Result<FilesPage, StoreError> {
        let young = |document: &FilesDocument| match (scope.not_before, document.last_timestamp) {
            (Some(time), Some(last)) => last >= time,
            _ => true,
        };
        if scope.filter.is_none() {
            return self.files.list(query, young);
        }
        let fields = &self.index.fields;
        let place = |id| fields.slot(id).and_then(|slot| slot.value);
        let (Some(node), Some(file_id)) = (place(core_fields::NODE), place(core_fields::FILE_ID)) else {
            return Ok(FilesPage::default());
        };
        let visible = self.translation().scoped(scope, &Expression::Everything)?;
        let searcher = self.index.searcher();
        let shown = aggregate::objects(fields, &searcher, visible.as_ref(), node, file_id)?;
        self.files.list(query, |document| {
            let number = i64::try_from(document.num).unwrap_or(i64::MAX);
            young(document) && shown.contains(&(Arc::from(document.node.as_str()), number))
        })
    }
}

#[async_trait]
impl SessionStore for EmbeddedSessions {
    fn capabilities(&self) -> Capabilities {
        Capabilities { name: "embedded", immediate: true }
    }

    async fn create(&self, sessions: Vec<NewSession>) -> Result<Vec<Created>, StoreError> {
        self.run(move |inner| inner.index.create(sessions)).await
    }

    async fn flush(&self) -> Result<(), StoreError> {
        self.run(|inner| inner.index.flush()).await
    }

    async fn delete_object(&self, node: &str, file_id: u64, indices: &[String]) -> Result<u64, StoreError> {
        let (node, indices) = (node.to_owned(), indices.to_vec());
        self.run(move |inner| inner.delete_object(&node, file_id, &indices)).await
    }

    async fn session(&self, scope: &Scope, id: &str) -> Result<Option<StoredSession>, StoreError> {
        let (scope, id) = (scope.clone(), id.to_owned());
        self.run(move |inner| inner.session(&scope, &id)).await
    }

    async fn search(&self, scope: &Scope, search: &Search) -> Result<Page, StoreError> {
        let (scope, search) = (scope.clone(), search.clone());
        self.run(move |inner| inner.search(&scope, &search)).await
    }

    async fn aggregate(
        &self,
        scope: &Scope,
        expression: &Expression,
        aggregation: &Aggregation,
    ) -> Result<Vec<Bucket>, StoreError> {
        let (scope, expression, aggregation) = (scope.clone(), expression.clone(), aggregation.clone());
        self.run(move |inner| inner.aggregate(&scope, &expression, &aggregation)).await
    }

    async fn file(&self, id: &str) -> Result<Option<Versioned<FilesDocument>>, StoreError> {
        let id = id.to_owned();
        self.run(move |inner| inner.files.get(&id)).await
    }

    async fn put_file(&self, document: &FilesDocument, expected: Option<u64>) -> Result<PutFile, StoreError> {
        let document = document.clone();
        self.run(move |inner| inner.files.put(&document, expected)).await
    }

    async fn files(&self, scope: &Scope, query: &FilesQuery) -> Result<FilesPage, StoreError> {
        let (scope, query) = (scope.clone(), query.clone());
        self.run(move |inner| inner.files(&scope, &query)).await
    }
}
