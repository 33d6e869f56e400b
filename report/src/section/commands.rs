//! How to do it again.

use crate::html::{Cell, Section, Table, code, paragraph, verbatim};
use crate::model::commands::{Command, Outcome, verb};
use crate::model::{Kind, Run};
use crate::time::{duration, moment};

pub(crate) fn section(run: &Run) -> Option<Section> {
    let commands = run.commands.get().map_or(&[][..], Vec::as_slice);
    if commands.is_empty() {
        return by_settings(run);
    }
    let useful: Vec<&Command> =
        commands.iter().filter(|command| command.outcome != Some(Outcome::Failed)).collect();
    let mut text = String::new();
    let mut directory = None;
    for command in &useful {
        if directory != Some(&command.began.directory) {
            directory = Some(&command.began.directory);
            text += &format!("cd {}\n", crate::model::commands::quoted(&command.began.directory));
        }
        text += &command.typed();
        text.push('\n');
    }
    let words = "These commands made the run, as they were given. With the same data, seed and version of genas, they give \
                 the same numbers on a CPU, to the last bit. A command that goes on with <code>--resume</code> ends as one \
                 without interruption.";
    let mut html = paragraph(words) + &verbatim("Commands", &text);
    let mut table = Table::new(
        "What was done, and when",
        &["command", "began (UTC)", "wall time", "seconds", "ended", "threads", "genas"],
    );
    for command in commands {
        let seconds = command.seconds;
        table.row(vec![
            Cell::html(code(verb(&command.began.command).unwrap_or("?"))),
            Cell::text(moment(command.began.began)),
            seconds.map_or_else(Cell::none, |seconds| Cell::text(duration(seconds))),
            Cell::maybe(seconds, |seconds| format!("{seconds:.1}")),
            Cell::text(match command.outcome {
                Some(Outcome::Done) => "done",
                Some(Outcome::Interrupted) => "interrupted",
                Some(Outcome::Failed) => "failed",
                None => "killed, or still at work",
            }),
            Cell::number(command.began.threads, command.began.threads),
            Cell::text(&command.began.genas),
        ]);
    }
    html += &table.html();
    Some(Section::new("commands", "Commands", html))
}

/// For runs of versions that wrote no commands down.
fn by_settings(run: &Run) -> Option<Section> {
    run.settings.get()?;
    let verb = match run.kind {
        Kind::Ranking => "rank",
        _ => "search",
    };
    let more = if run.kind == Kind::Ranking { " --truth TABLE.csv" } else { "" };
    let text = format!("genas {verb} --config config.toml --data DATA{more} --out NEW\n");
    let words = "This run holds no record of its commands. Its settings repeat it, with the same data:";
    Some(Section::new("commands", "Commands", paragraph(words) + &verbatim("Commands", &text)))
}
