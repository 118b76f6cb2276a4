//! The accounts of an image: passwd(5), group(5).

/// The text of the two files; empty where an image has none.
#[derive(Debug, Clone, Default)]
pub struct Accounts {
    /// `/etc/passwd`.
    pub passwd: String,
    /// `/etc/group`.
    pub group: String,
}

impl Accounts {
    /// Name and group of a user; the first line of this number counts.
    pub fn user(&self, uid: u32) -> Option<(&str, u32)> {
        self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (_, number, group) = (fields.next()?, fields.next()?, fields.next()?);
            (number.trim().parse() == Ok(uid)).then_some(())?;
            Some((name, group.trim().parse().ok()?))
        })
    }

    /// Home directory of a user.
    pub fn home(&self, uid: u32) -> Option<&str> {
        self.passwd.lines().find_map(|line| {
            let mut fields = line.split(':').skip(2);
            (fields.next()?.trim().parse() == Ok(uid)).then_some(())?;
            fields.nth(2).filter(|home| !home.is_empty())
        })
    }

    /// The groups that have a user of this name as a member, in the order of the file.
    pub fn groups(&self, user: &str) -> Vec<u32> {
        let group = |line: &str| {
            let mut fields = line.split(':');
            let (_, _, number, members) = (fields.next()?, fields.next()?, fields.next()?, fields.next()?);
            let is_member = members.split(',').any(|member| member.trim() == user);
            number.trim().parse().ok().filter(|_| is_member)
        };
        self.group.lines().filter_map(group).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_number_and_by_member() {
        let accounts = Accounts {
            passwd: "root:x:0:0:root:/:/bin/sh\n# x\nbad\nweb:x:1000:50::/:\nagain:x:1000:60::/:\n".into(),
            group: "root:x:0:\nwww:x:33:web,other\nbad:x:no:web\nmail:x:8:other, web\nshort:x:9\n".into(),
        };
        assert_eq!(accounts.user(1000), Some(("web", 50)));
        assert_eq!(accounts.user(7), None);
        assert_eq!((accounts.home(0), accounts.home(1000), accounts.home(7)), (Some("/"), Some("/"), None));
        assert_eq!(accounts.groups("web"), [33, 8]);
        assert_eq!(accounts.groups("root"), [0; 0]);
    }
}
