//! The reference: what an expression means for one document.
