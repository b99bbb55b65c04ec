//! Where the system's library looks for accounts and other databases, nsswitch.conf(5).

use std::io;
use std::path::Path;
use std::rc::Rc;

use super::Root;

impl Root {
    /// The text of `/etc/nsswitch.conf`, read once; empty when there is none.
    pub fn name_services(&self) -> io::Result<Rc<str>> {
        if let Some(known) = &*self.name_services.borrow() {
            return Ok(Rc::clone(known));
        }
        let read = self.read(Path::new("/etc/nsswitch.conf"), 1024 * 1024)?;
        let text: Rc<str> = read.map_or_else(Rc::default, |seen| seen.text().into());
        *self.name_services.borrow_mut() = Some(Rc::clone(&text));
        Ok(text)
    }
}
