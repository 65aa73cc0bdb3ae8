//! A root context: one configuration of the plugin on one thread.

use core::cell::RefCell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::ContextType;

use super::dispatcher;
use super::plugin::{Plugin, with};
use super::request::Request;

/// What the SDK's dispatcher calls on a configuration, on ticks and on answers to our calls.
pub(super) struct Root {
    id: u32,
    plugin: Rc<RefCell<Plugin>>,
}

impl Root {
    /// A root context that is not configured yet.
    pub(super) fn new(id: u32) -> Self {
        dispatcher::root_created(id);
        Self { id, plugin: Rc::new(RefCell::new(Plugin::new(id))) }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, number: u32, num_headers: usize, body_size: usize, _: usize) {
        with(&self.plugin, |plugin| plugin.handle_reply(number, num_headers, body_size));
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _: usize) -> bool {
        with(&self.plugin, Plugin::configure).unwrap_or_default()
    }

    fn on_tick(&mut self) {
        with(&self.plugin, Plugin::handle_tick);
    }

    fn on_queue_ready(&mut self, queue: u32) {
        with(&self.plugin, |plugin| plugin.handle_wake(queue));
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request::new(id, Rc::clone(&self.plugin))))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

/// The dispatcher drops a root context when the host deletes it. `on_done` would tell a moment before, but of each
/// request too.
impl Drop for Root {
    fn drop(&mut self) {
        with(&self.plugin, Plugin::shut_down);
        dispatcher::root_deleted(self.id);
    }
}
