//! What a camera more costs: the same camera 16 to 1,000 times, and how CPU time per GB goes with it. Not for how a run is made.

use std::io;

use crate::Arguments;
use crate::contender::Contender;
use crate::load::Load;
use crate::run::{self, Outcome};

/// So many cameras, each at 10 fps.
const CAMERAS: [usize; 4] = [16, 64, 256, 1_000];

/// One number of cameras.
struct Step {
    framelog: Outcome,
    floor: Outcome,
}

/// Runs every number of cameras, and prints a table and a plot (Markdown, with a Mermaid chart).
pub fn measure(arguments: &Arguments) -> io::Result<()> {
    let mut steps = Vec::new();
    for cameras in CAMERAS {
        let load = Load {
            cameras,
            fps: 10.0,
            // The small ones get longer, so that their start counts for no more than that of the others.
            seconds: if cameras < 200 { 30 } else { 12 },
            ..arguments.own_load
        };
        crate::require_space(&load, arguments)?;
        steps.push(Step {
            framelog: run::measure(Contender::Framelog, load, &arguments.dir)?,
            floor: run::measure(Contender::Floor, load, &arguments.dir)?,
        });
    }
    print(&steps);
    Ok(())
}

fn print(steps: &[Step]) {
    println!(
        "| cameras, 10 fps | framelog, CPU s per GB kept | floor | ratio | peak RSS, MB | lost |"
    );
    println!("|--:|--:|--:|--:|--:|--:|");
    for Step { framelog, floor } in steps {
        let lost = framelog.sent.frames - framelog.kept_frames().min(framelog.sent.frames);
        println!(
            "| {} | {:.2} | {:.2} | {:.2} × | {:.0} | {lost} |",
            framelog.cameras,
            framelog.cpu_s_per_gb(),
            floor.cpu_s_per_gb(),
            framelog.cpu_s_per_gb() / floor.cpu_s_per_gb(),
            framelog.usage.rss_bytes as f64 / 1e6,
        );
    }
    let list = |value: &dyn Fn(&Step) -> String| {
        let values: Vec<String> = steps.iter().map(value).collect();
        format!("[{}]", values.join(", "))
    };
    println!("\n```mermaid\nxychart-beta");
    println!("    title \"CPU seconds per GB: framelog, and the floor below it\"");
    println!(
        "    x-axis \"cameras\" {}",
        list(&|step| format!("\"{}\"", step.framelog.cameras))
    );
    println!("    y-axis \"s per GB\" 0 --> 6");
    for outcome in [
        |step: &Step| step.framelog.cpu_s_per_gb(),
        |step: &Step| step.floor.cpu_s_per_gb(),
    ] {
        println!("    line {}", list(&|step| format!("{:.2}", outcome(step))));
    }
    println!("```");
}
