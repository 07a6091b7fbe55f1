//! A design as text: a line for each axis. One grammar for documents, design files, scenarios, flags and reports.

use alloc::string::{String, ToString};
use core::fmt::{self, Write as _};
use core::str::FromStr;

use sha2::{Digest, Sha256};

use super::axes::{AXES, FORMAT};
use super::{Design, DesignError};
use crate::cover::{Cover, DEFAULT_RATE, Rate};
use crate::text::InvalidValue;
use crate::wire::datagram::VERSION as WIRE;

impl Design {
    /// This design with other choices: pairs of an axis and its value.
    ///
    /// # Errors
    /// [`DesignError`] names the axis.
    pub fn with<'t>(
        self,
        choices: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Self, DesignError> {
        self.with_rate(DEFAULT_RATE, choices)
    }

    /// The same, where cover schemes that name no rate have this one.
    ///
    /// # Errors
    /// As [`with`](Self::with).
    pub fn with_rate<'t>(
        mut self,
        rate: Rate,
        choices: impl IntoIterator<Item = (&'t str, &'t str)>,
    ) -> Result<Self, DesignError> {
        let choices: alloc::vec::Vec<_> = choices.into_iter().collect();
        // Versions first: another one may have axes that this program does not know.
        for (axis, value) in choices.iter().filter(|(axis, _)| ["format", "wire"].contains(axis)) {
            let axis = if *axis == "wire" { "wire" } else { "format" };
            self.choose(axis, value, rate)?;
        }
        let mut chosen = [None; AXES.len()];
        for (axis, value) in choices {
            let place = AXES.iter().position(|known| *known == axis);
            let place = place.ok_or_else(|| DesignError::UnknownAxis(axis.to_string()))?;
            if chosen[place].replace(value).is_some() {
                return Err(DesignError::Twice(AXES[place]));
            }
        }
        let mut rate = rate;
        for (axis, value) in AXES.into_iter().zip(chosen) {
            let Some(value) = value else { continue };
            match axis {
                "rate" => rate = value.parse().map_err(|why| DesignError::Value(axis, why))?,
                _ => self.choose(axis, value, rate)?,
            }
        }
        Ok(self)
    }

    fn choose(&mut self, axis: &'static str, value: &str, rate: Rate) -> Result<(), DesignError> {
        let chosen = match axis {
            "format" if value != FORMAT => return Err(DesignError::OtherFormat(value.to_string())),
            "format" => Ok(()),
            "wire" => match value.parse::<u32>() {
                Ok(wire) if wire == u32::from(WIRE) => Ok(()),
                Ok(other) => return Err(DesignError::OtherWire(other)),
                Err(_) => Err(InvalidValue::new(value, "the version of the wire, a number")),
            },
            "datagram" => value.parse().map(|geometry| self.geometry = geometry),
            "route" => self.route.named(value).map(|route| self.route = route),
            "hops" => self.route.with_hops(value).map(|route| self.route = route),
            "mixing" => value.parse().map(|mixing| self.mixing = mixing),
            "company" => value.parse().map(|company| self.company = company),
            _ => Cover::parse(value, rate).map(|cover| self.cover = cover),
        };
        chosen.map_err(|why| DesignError::Value(axis, why))
    }

    /// Its name: the beginning of the digest of its text, 16 hexadecimal digits.
    pub fn name(&self) -> String {
        let digest = Sha256::digest(self.to_string());
        digest[..8].iter().fold(String::new(), |mut name, byte| {
            let _ = write!(name, "{byte:02x}"); // a String takes whatever is written
            name
        })
    }
}

impl fmt::Display for Design {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "format = {FORMAT}")?;
        writeln!(f, "wire = {WIRE}")?;
        writeln!(f, "datagram = {}", self.geometry.datagram())?;
        writeln!(f, "route = {}\nhops = {}", self.route.name(), self.route.hops())?;
        writeln!(f, "mixing = {}", self.mixing)?;
        writeln!(f, "company = {}", self.company)?;
        writeln!(f, "cover = {}", self.cover)
    }
}

/// Reads lines of `axis = value`; a value may stand in quotes, `#` begins a comment, and what is not said is as usual.
impl FromStr for Design {
    type Err = DesignError;

    fn from_str(text: &str) -> Result<Self, DesignError> {
        Self::default().with(choices(text)?)
    }
}

/// The choices of a text, each an axis and its value.
///
/// # Errors
/// [`DesignError::NoChoice`] names the line.
pub fn choices(text: &str) -> Result<alloc::vec::Vec<(&str, &str)>, DesignError> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default().trim());
    let said = lines.filter(|line| !line.is_empty()).map(|line| {
        let (axis, value) = line.split_once('=').ok_or_else(|| DesignError::NoChoice(line.to_string()))?;
        let value = value.trim();
        let quoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        Ok((axis.trim(), quoted.unwrap_or(value)))
    });
    said.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Route;
    use crate::wire::Geometry;
    use proptest::prelude::*;

    fn any_design() -> impl Strategy<Value = Design> {
        let mixings =
            ["none", "batch=20ms", "pool=1:10:200ms", "pool=20ms:7:150ms", "slices=50ms", "exponential=15ms"];
        let companies = ["none", "fill=3", "hold=3:20ms"];
        let covers = [
            "none",
            "user-link=64kbps",
            "mimics=128kbps,poisson=64kbps:8kbps",
            "machine=02eNpjYEA=,links=8kbps",
        ];
        let words = (0..mixings.len(), 0..companies.len(), 0..covers.len());
        (1280..=8192usize, 1..=8usize, words).prop_map(move |(datagram, hops, (mixing, company, cover))| {
            Design {
                geometry: Geometry::new(datagram).unwrap(),
                route: Route::free(hops).unwrap(),
                mixing: mixings[mixing].parse().unwrap(),
                company: companies[company].parse().unwrap(),
                cover: covers[cover].parse().unwrap(),
            }
        })
    }

    proptest! {
        #[test]
        fn a_design_is_what_its_text_says(design in any_design(), other in any_design()) {
            prop_assert_eq!(design.to_string().parse(), Ok(design.clone()));
            prop_assert_eq!(design == other, design.name() == other.name());
        }

        #[test]
        fn no_text_makes_it_panic(text in "(format|hops|mixing|cover|datagram|#| |=|\"|\n|[0-9a-z]){0,12}") {
            let _ = text.parse::<Design>();
        }
    }

    #[test]
    fn what_is_not_said_is_as_usual_and_files_may_be_written_as_people_do() {
        let text = "# ours\nhops = 2\n\nmixing = \"pool=1:10\"  # as in AN.ON\ncover = user-link,links\nrate = 1mbps\n";
        let design: Design = text.parse().unwrap();
        assert_eq!((design.route.hops(), design.mixing.to_string()), (2, "pool=1:10:200ms".to_string()));
        assert_eq!(design.cover.to_string(), "user-link=1mbps,links=1mbps");
        assert_eq!("".parse(), Ok(Design::default()));
        assert_eq!(Design::default().name().len(), 16);
    }

    #[test]
    fn what_is_wrong_is_named_with_the_way_out() {
        for (text, words) in [
            ("hops = 9", "`hops`: invalid value `9`: expected mixes in a circuit, 1 to 8"),
            ("datagram = 100", "256 to 8192"),
            ("colour = red", "unknown axis `colour`: expected format, wire, datagram"),
            ("hops = 2\nhops = 2", "`hops` is chosen twice"),
            ("mixing", "`mixing` is no choice: expected axis = value"),
            ("wire = 9\nshape = round", "is for version 9 of the wire"),
            ("wire = 1", "is for version 1 of the wire, and this program speaks version 5"),
            ("format = 2", "this design has format 2, and this program knows 1"),
            ("route = loose", "expected free"),
        ] {
            let why = text.parse::<Design>().unwrap_err().to_string();
            assert!(why.contains(words), "{text}: {why}");
        }
    }
}
