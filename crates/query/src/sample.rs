//! A small catalogue for scenarios and tests.
