//! The life of a pod as a picture, from its event log: [`model`] knows what happened when (`fold` reads it out of the log),
//! [`axis`] where on the paper it stands, [`text`], [`svg`] and [`html`] draw it.

pub mod axis;
mod fold;
pub mod html;
pub mod model;
pub mod moments;
pub mod place;
pub mod svg;
pub mod text;

#[cfg(test)]
pub(crate) mod tests;

pub use model::Timeline;
