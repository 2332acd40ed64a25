//! `rkt image list`

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use rkt_image::Image;
use serde::Serialize;

use super::{Context, Outcome, pod_json};
use crate::arguments::{ImageField, ImageList, Order, OutputFormat};
use crate::report::print;
use crate::table::Table;
use crate::time;

/// Characters of a key that are shown: `sha512-` and 12 digits.
const SHORT: usize = 19;

/// One image, as programs are told of it. Times are in nanoseconds since 1970.
#[derive(Debug, Serialize)]
struct Line {
    id: String,
    name: String,
    import_time: u64,
    last_used_time: u64,
    size: u64,
}

pub(super) fn image_list(context: &Context, list: &ImageList) -> Outcome {
    let mut lines: Vec<Line> = Vec::new();
    for image in context.store().list()? {
        match image {
            Ok(image) => lines.push(Line::of(&image)),
            Err(error) => context.report.error(&error),
        }
    }
    if let Some(older) = context.store().older() {
        context.report.line(&super::older_store(&older));
    }
    match list.sort {
        ImageField::Id => lines.sort_by(|one, other| one.id.cmp(&other.id)),
        ImageField::Name => lines.sort_by(|one, other| one.name.cmp(&other.name)),
        ImageField::Size => lines.sort_by_key(|line| line.size),
        ImageField::ImportTime => lines.sort_by_key(|line| line.import_time),
        ImageField::LastUsed => lines.sort_by_key(|line| line.last_used_time),
    }
    if list.order == Order::Desc {
        lines.reverse();
    }
    print(&match list.output.format {
        OutputFormat::Text => table(&lines, list),
        format => pod_json::text(&lines, format),
    })?;
    Ok(ExitCode::SUCCESS)
}

impl Line {
    fn of(image: &Image) -> Self {
        let info = &image.info;
        let name = match info.labels.get("version") {
            Some(version) => format!("{}:{version}", info.name),
            None => info.name.to_string(),
        };
        Self {
            id: image.key().to_string(),
            name,
            import_time: image.imported,
            last_used_time: time::nanoseconds(image.last_used()),
            size: info.archive_bytes + info.rootfs_bytes,
        }
    }

    fn cell(&self, field: ImageField, full: bool, now: SystemTime) -> String {
        let when = |nanoseconds| {
            let at = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
            if full { time::full(at) } else { time::relative(at, now) }
        };
        match field {
            ImageField::Id if full => self.id.clone(),
            ImageField::Id => self.id[..SHORT].to_owned(),
            ImageField::Name => self.name.clone(),
            ImageField::Size if full => self.size.to_string(),
            ImageField::Size => time::size(self.size),
            ImageField::ImportTime => when(self.import_time),
            ImageField::LastUsed => when(self.last_used_time),
        }
    }
}

fn table(lines: &[Line], list: &ImageList) -> String {
    let head = |field: &ImageField| match field {
        ImageField::Id => "ID",
        ImageField::Name => "NAME",
        ImageField::Size => "SIZE",
        ImageField::ImportTime => "IMPORT TIME",
        ImageField::LastUsed => "LAST USED",
    };
    let mut table = Table::default();
    if !list.table.no_legend {
        table.line(list.fields.iter().map(head));
    }
    let now = SystemTime::now();
    for line in lines {
        table.line(list.fields.iter().map(|field| line.cell(*field, list.table.full, now)));
    }
    table.text()
}
