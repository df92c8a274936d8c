//! Requests to words: the arguments of each script, in the order that its head states.

use std::fmt::Write;

use flashsale_core::sale::Lines;
use flashsale_core::stock::{Answers, Bought, Door, ItemLevel, Load, Nonce, Reserve, Settled, Standing, Update};
use redis::Cmd;

/// How many shapes are looked through for one that was met before: a sale has few, and a batch of many is short.
const SHAPES_SEARCHED: usize = 16;

/// What is asked for, without who asks: most requests of a drop have the same.
pub(super) struct Shapes {
    texts: Vec<String>,
    /// Per request, the number of its shape, from 1.
    of: Vec<usize>,
}

pub(super) fn shapes(batch: &[Reserve]) -> Shapes {
    let mut met: Vec<(&Lines, Standing)> = Vec::new();
    let mut shapes = Shapes { texts: Vec::new(), of: Vec::with_capacity(batch.len()) };
    for request in batch {
        let shape = (&request.lines, request.standing);
        let no = met.iter().take(SHAPES_SEARCHED).position(|old| *old == shape).unwrap_or_else(|| {
            met.push(shape);
            shapes.texts.push(text(&request.lines, request.standing));
            met.len() - 1
        });
        shapes.of.push(no + 1);
    }
    shapes
}

fn text(lines: &Lines, standing: Standing) -> String {
    let mut text = String::from(match standing {
        Standing::Public => "P ",
        Standing::Offer => "O ",
    });
    for (n, line) in lines.iter().enumerate() {
        let comma = if n == 0 { "" } else { "," };
        write!(text, "{comma}{}={}", line.item, line.units.units()).expect("a string takes all");
    }
    text
}

pub(super) fn part(command: &mut Cmd, cursor: u64, about: u32) {
    command.arg(cursor).arg(about);
}

pub(super) fn time(command: &mut Cmd, time: &str) {
    command.arg(time);
}

pub(super) fn nonce(command: &mut Cmd, nonce: Nonce) {
    command.arg(nonce.0);
}

pub(super) fn reserve(command: &mut Cmd, time: &str, shapes: &Shapes, batch: &[Reserve]) {
    command.arg(time).arg(shapes.texts.len()).arg(&shapes.texts);
    // In columns, so that the script can hand all ids on without looking at them.
    for request in batch {
        command.arg(request.id.as_str());
    }
    for request in batch {
        command.arg(request.hash.0);
    }
    if shapes.texts.len() > 1 {
        for shape in &shapes.of {
            command.arg(*shape);
        }
    }
}

pub(super) fn due(command: &mut Cmd, time: &str, most: u32) {
    command.arg(time).arg(most);
}

pub(super) fn answers(command: &mut Cmd, nonce: Nonce, page: &Answers) {
    command.arg(nonce.0);
    orders(command, &page.orders);
    bought(command, &page.bought);
}

pub(super) fn load(command: &mut Cmd, load: &Load) {
    command.arg(load.nonce.0).arg(load.epoch.0).arg(load.version.v).arg(load.version.tag);
    door(command, &load.door);
    items(command, &load.items);
}

pub(super) fn sync(command: &mut Cmd, update: &Update) {
    match update.nonce {
        Some(nonce) => command.arg(nonce.0),
        None => command.arg(""),
    };
    for version in [update.from, update.to] {
        command.arg(version.v).arg(version.tag);
    }
    command.arg(update.sealed.0);
    door(command, &update.door);
    items(command, &update.items);
    orders(command, &update.orders);
    bought(command, &update.bought);
}

fn door(command: &mut Cmd, door: &Door) {
    let hold_ms = u64::try_from(door.hold.as_millis()).unwrap_or(u64::MAX);
    command.arg(door.state.code()).arg(door.window.opens_at.ms()).arg(door.window.closes_at.ms()).arg(hold_ms);
}

fn items(command: &mut Cmd, items: &[ItemLevel]) {
    command.arg(items.len());
    for level in items {
        command.arg(level.item.as_str()).arg(level.free).arg(level.limit.units()).arg(u8::from(level.waiting));
    }
}

/// In columns, the answers as they will be kept.
fn orders(command: &mut Cmd, orders: &[Settled]) {
    command.arg(orders.len());
    for order in orders {
        command.arg(order.id.as_str());
    }
    let mut text = String::new();
    for order in orders {
        text.clear();
        write!(text, "{} {} {}", order.v, order.state.code(), order.hash.0).expect("a string takes all");
        command.arg(&text);
    }
}

/// In runs of buyers who have the same, which nearly all of one update have.
fn bought(command: &mut Cmd, bought: &[Bought]) {
    let runs = || bought.chunk_by(|one, next| one.units == next.units && one.v == next.v && one.item == next.item);
    command.arg(runs().count());
    for run in runs() {
        command.arg(format!("{} {} {}", run[0].item, run[0].units, run[0].v)).arg(run.len());
        for row in run {
            command.arg(row.buyer.as_str());
        }
    }
}
