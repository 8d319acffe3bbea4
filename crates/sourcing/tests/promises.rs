//! Promised dates: stories of London, laws over random calendars, and what they weigh in a plan.

use consign_domain::order::SplitPolicy;
use consign_domain::time::Timestamp;
use consign_sourcing::{
    Calendar, Candidate, Compiled, Facts, InputLine, Inputs, KnownLocation, LineFacts,
    RULE_VERSION, Strategy, ZoneTable, decide, explain,
};
use proptest::prelude::*;
use proptest::strategy::Strategy as AnyOf;
use serde_json::{Value, json};

const IDS: [&str; 2] = ["LONDON", "LEEDS"];

/// London in 2011: from 2011-03-27T01:00Z an hour ahead, from 2011-10-30T01:00Z GMT again.
fn london() -> ZoneTable {
    ZoneTable(vec![
        (1_288_486_800, 0),
        (1_301_187_600, 3_600),
        (1_319_936_400, 0),
    ])
}

fn compiled(strategy: &Value) -> Result<Compiled, String> {
    let strategy: Strategy =
        serde_json::from_value(strategy.clone()).map_err(|error| error.to_string())?;
    let known = |(ordinal, id): (u32, &&str)| KnownLocation {
        id: (*id).into(),
        ordinal,
        zone: london(),
    };
    let known: Vec<KnownLocation> = (0..).zip(&IDS).map(known).collect();
    strategy.compiled(&known).map_err(|error| error.to_string())
}

/// One unit, from London or from Leeds, ordered at a moment.
fn inputs(second: i64, km: [u32; 2], service: &str, country: &str) -> Inputs {
    let candidate = |(ordinal, km): (u32, &u32)| Candidate {
        ordinal,
        km: *km,
        rate: None,
    };
    let facts = Facts {
        now: Timestamp(second * 1_000_000),
        country: country.into(),
        service_level: service.into(),
        lines: vec![LineFacts::default()],
        ..Facts::default()
    };
    Inputs {
        rule_version: RULE_VERSION,
        strategy: 1,
        split: SplitPolicy::Allow,
        lines: vec![InputLine {
            line: 0,
            units: 1,
            parts: vec![(0, 1)],
            only: None,
        }],
        candidates: (0..).zip(&km).map(candidate).collect(),
        without_stock: Vec::new(),
        available: vec![5, 5],
        excluded: Vec::new(),
        facts: Some(Box::new(facts)),
    }
}

fn second(moment: &str) -> i64 {
    let moment: jiff::Timestamp = moment.parse().expect("a moment");
    moment.as_second()
}

/// What an order of a moment is promised from London, as "first day, last day".
fn promised(strategy: &Compiled, moment: &str) -> Option<(String, String)> {
    let inputs = inputs(second(moment), [20, 200], "standard", "GB");
    let promise = strategy.promise(&inputs, 0)?;
    Some((promise.earliest.into(), promise.latest.into()))
}

fn days(first: &str, last: &str) -> Option<(String, String)> {
    Some((first.to_owned(), last.to_owned()))
}

const WORKING: [&str; 5] = ["monday", "tuesday", "wednesday", "thursday", "friday"];

/// Monday to Friday, the carrier delivers on Saturdays too, Christmas is on a weekend.
fn christmas() -> Value {
    json!({
        "name": "promises", "rules": [{"name": "all"}],
        "locations": {"LONDON": {"calendar": {
            "working_days": WORKING, "opens": "09:00", "closes": "17:30", "cut_off": "14:00",
            "holidays": ["2011-12-26", "2011-12-27"]}}},
        "transit": {
            "lanes": [{"countries": ["GB"], "days_min": 1, "days_max": 2, "moves": WORKING,
                "delivers": ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday"]}],
            "holidays": {"GB": ["2011-12-26", "2011-12-27"]}},
    })
}

#[test]
fn a_missed_cut_off_before_christmas_costs_five_days() {
    let strategy = compiled(&christmas()).expect("sane");
    let in_time = promised(&strategy, "2011-12-23T14:00:00Z");
    assert_eq!(in_time, days("2011-12-28", "2011-12-29"));
    let late = promised(&strategy, "2011-12-23T14:00:01Z");
    assert_eq!(late, days("2011-12-29", "2011-12-30"));
    // A Saturday is a day of delivery, and none of the way.
    assert_eq!(
        promised(&strategy, "2011-12-01T09:00:00Z"),
        days("2011-12-02", "2011-12-05")
    );
}

#[test]
fn handling_takes_opening_time_and_working_days() {
    let mut strategy = christmas();
    strategy["locations"]["LONDON"]["handling_minutes"] = json!(240);
    let minutes = compiled(&strategy).expect("sane");
    // Thursday: ready at 17:00, and at 17:30, and only on Friday.
    for (moment, first) in [
        ("2011-12-01T13:00:00Z", "2011-12-02"),
        ("2011-12-01T13:30:00Z", "2011-12-02"),
        ("2011-12-01T13:30:01Z", "2011-12-05"),
    ] {
        let (found, _) = promised(&minutes, moment).expect("a promise");
        assert_eq!(found, first, "{moment}");
    }
    strategy["locations"]["LONDON"]["handling_days"] = json!(2);
    let with_days = compiled(&strategy).expect("sane");
    // Leaves on Monday: Tuesday.
    assert_eq!(
        promised(&with_days, "2011-12-01T10:00:00Z"),
        days("2011-12-06", "2011-12-07")
    );
    // Open time starts on Monday at nine.
    let ready = with_days.ready_at(0, Timestamp(second("2011-12-01T10:00:00Z") * 1_000_000));
    let ready = jiff::Timestamp::from_microsecond(ready.expect("a moment").0);
    assert_eq!(ready.expect("in range").to_string(), "2011-12-05T13:00:00Z");
    assert_eq!(
        with_days.ready_at(1, Timestamp(0)),
        None,
        "nobody knows when Leeds opens"
    );
}

#[test]
fn closures_are_passed_over() {
    let mut strategy = christmas();
    let closure = json!([{"from": "2011-12-02", "until": "2011-12-06"}]);
    strategy["locations"]["LONDON"]["closures"] = closure;
    let strategy = compiled(&strategy).expect("sane");
    let after = promised(&strategy, "2011-12-01T15:00:00Z");
    assert_eq!(after, days("2011-12-08", "2011-12-09"));
}

#[test]
fn days_of_23_and_25_hours_keep_their_cut_offs() {
    let mut strategy = christmas();
    let every_day = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    strategy["locations"]["LONDON"]["calendar"] = json!({"working_days": every_day,
        "opens": "00:00", "closes": "24:00", "cut_off": "01:30"});
    strategy["transit"] = json!({"lanes": [{"days_min": 0, "days_max": 0}]});
    let strategy = compiled(&strategy).expect("sane");
    for (moment, day) in [
        // 01:30 was never: the cut-off is the moment at which the clock was put forward.
        ("2011-03-27T01:00:00Z", "2011-03-27"),
        ("2011-03-27T01:00:01Z", "2011-03-28"),
        // 01:30 was twice: the first counts.
        ("2011-10-30T00:30:00Z", "2011-10-30"),
        ("2011-10-30T00:30:01Z", "2011-10-31"),
        // By the clock in London it is the next day already.
        ("2011-06-01T23:30:00Z", "2011-06-02"),
    ] {
        assert_eq!(promised(&strategy, moment), days(day, day), "{moment}");
    }
}

#[test]
fn nothing_is_promised_where_nobody_knows() {
    let mut strategy = christmas();
    strategy["transit"]["lanes"] = json!([
        {"service_levels": ["express"], "countries": ["GB"], "km_max": 100, "days_min": 0, "days_max": 0},
        {"service_levels": ["express"], "countries": ["GB"], "days_min": 1, "days_max": 1},
    ]);
    let known = compiled(&strategy).expect("sane");
    let noon = second("2011-12-01T12:00:00Z");
    let of = |km: u32, service: &str, country: &str| {
        let inputs = inputs(noon, [km, 50], service, country);
        let found = known.promise(&inputs, 0);
        found.map(|promise| String::from(promise.latest))
    };
    assert_eq!(of(100, "express", "GB").as_deref(), Some("2011-12-01"));
    assert_eq!(of(101, "express", "GB").as_deref(), Some("2011-12-02"));
    // Where nobody knows where in the country it goes, it may be far.
    assert_eq!(of(0, "express", "GB").as_deref(), Some("2011-12-02"));
    assert_eq!(of(100, "standard", "GB"), None);
    assert_eq!(of(100, "express", "NO"), None);
    // No calendar: open always, Sundays included.
    let sunday = inputs(second("2011-12-04T23:00:00Z"), [20, 50], "express", "GB");
    let from_leeds = known.promise(&sunday, 1).expect("a promise");
    assert_eq!(String::from(from_leeds.latest), "2011-12-04");
    // Without lanes there is no promise at all, and no trace of one in what is said.
    strategy.as_object_mut().expect("a table").remove("transit");
    let without = compiled(&strategy).expect("sane");
    assert!(!without.promises());
    let said = serde_json::to_value(explain(&without, &sunday)).expect("plain data");
    assert_eq!(said["candidates"][0]["promise"], Value::Null);
}

#[test]
fn a_sooner_promise_may_be_worth_its_money() {
    // Both could serve; London is nearer, but has not worked since Friday.
    let mut strategy = christmas();
    strategy["rules"][0]["costs"] = json!({"per_100_km": 100});
    let saturday = inputs(second("2011-12-03T12:00:00Z"), [20, 200], "standard", "GB");
    let by_distance = decide(&compiled(&strategy).expect("sane"), &saturday).plan;
    assert_eq!(by_distance.locations, [0]);
    strategy["transit"]["lanes"][0]["moves"] = json!([]);
    strategy["rules"][0]["costs"]["per_promise_day"] = json!(100);
    let weighing = compiled(&strategy).expect("sane");
    assert_eq!(decide(&weighing, &saturday).plan.locations, [1]);
    let said = explain(&weighing, &saturday);
    let cost = |nth: usize| said.candidates[nth].cost.expect("both were weighed");
    // London leaves on Monday and takes two days; Leeds leaves at once.
    assert_eq!((cost(0).promise, cost(0).shipment), (400, 420));
    assert_eq!((cost(1).promise, cost(1).shipment), (200, 400));
    let told = serde_json::to_value(&said).expect("plain data");
    assert_eq!(
        told["candidates"][0]["promise"],
        json!({"earliest": "2011-12-06", "latest": "2011-12-07"})
    );
    // Where nothing is promised, what is set counts.
    strategy["transit"]["lanes"][0]["countries"] = json!(["NO"]);
    strategy["rules"][0]["costs"]["no_promise"] = json!(7);
    let said = explain(&compiled(&strategy).expect("sane"), &saturday);
    let costs = said
        .candidates
        .iter()
        .map(|of| of.cost.expect("weighed").promise);
    assert_eq!(costs.collect::<Vec<_>>(), [7, 7]);
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    for (pointer, value, expected) in [
        (
            "/transit/lanes",
            json!([]),
            "transit.lanes: there must be at least one",
        ),
        (
            "/transit/lanes/0/days_min",
            json!(3),
            "transit.lanes[0].days_min: is greater than days_max",
        ),
        (
            "/transit/lanes/0/days_max",
            json!(61),
            "transit.lanes[0].days_max: 61 is not from 0 to 60",
        ),
        (
            "/transit/lanes/0/countries",
            json!([""]),
            "transit.lanes[0].countries[0]: a name must have",
        ),
        (
            "/transit/lanes/0/moves",
            json!(vec!["monday"; 8]),
            "transit.lanes[0].moves: 8 entries",
        ),
        ("/transit/lanes/0/moves", json!(["someday"]), "someday"),
        (
            "/transit/holidays",
            json!({"": []}),
            "transit.holidays[0]: a name must have",
        ),
        ("/transit/holidays/GB", json!(["2011-02-29"]), "is no date"),
        ("/transit", json!({"lanes": [], "speed": 1}), "speed"),
        (
            "/locations/LONDON",
            json!({"handling_minutes": 10_081}),
            "locations.LONDON.handling_minutes: 10081",
        ),
        (
            "/locations/LONDON",
            json!({"handling_days": 61}),
            "locations.LONDON.handling_days: 61",
        ),
        (
            "/rules/0",
            json!({"name": "all", "costs": {"per_promise_day": -1}}),
            "rules[0].costs.per_promise_day: -1",
        ),
        (
            "/rules/0",
            json!({"name": "all", "costs": {"no_promise": -1}}),
            "rules[0].costs.no_promise: -1",
        ),
    ] {
        let mut strategy = christmas();
        *strategy.pointer_mut(pointer).expect("it is there") = value;
        let refused = compiled(&strategy).expect_err(pointer);
        assert!(refused.contains(expected), "{pointer}: {refused}");
    }
    // A calendar that nobody works by: no promise, and nothing runs on.
    let mut never = christmas();
    never["locations"]["LONDON"]["closures"] =
        json!([{"from": "1970-01-01", "until": "9999-12-31"}]);
    assert_eq!(
        promised(&compiled(&never).expect("sane"), "2011-12-01T12:00:00Z"),
        None
    );
}

/// 2011 in London, both changes of the clock well within.
fn a_second() -> impl AnyOf<Value = i64> {
    prop_oneof![
        1_293_840_000_i64..1_325_000_000,
        // Around the changes, where the laws are hardest to keep.
        1_301_100_000_i64..1_301_280_000,
        1_319_850_000_i64..1_320_030_000,
    ]
}

prop_compose! {
    fn a_calendar()(
        week in 1_u8..128,
        opens in 0_u16..1_400,
        open_for in 1_u16..1_440,
        cut_off in 0_u16..=1_440,
        holidays in proptest::collection::vec(0_i64..365, 0..8),
    ) -> Value {
        let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
        json!({
            "working_days": weekdays(week), "opens": clock(opens),
            "closes": clock((opens + open_for).min(1_440)), "cut_off": clock(cut_off),
            "holidays": holidays.iter().map(|day| date(*day)).collect::<Vec<_>>(),
        })
    }
}

fn weekdays(bits: u8) -> Vec<&'static str> {
    const WEEK: [&str; 7] = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    let chosen = WEEK
        .iter()
        .enumerate()
        .filter(|(nth, _)| bits >> nth & 1 == 1);
    chosen.map(|(_, day)| *day).collect()
}

/// A day of 2011.
fn date(nth: i64) -> String {
    let first = jiff::civil::date(2011, 1, 1);
    let day = first.saturating_add(jiff::Span::new().days(nth));
    day.to_string()
}

fn local_date(second: i64) -> jiff::civil::Date {
    let zone = jiff::tz::TimeZone::get("Europe/London").expect("London");
    let moment = jiff::Timestamp::from_second(second).expect("in range");
    moment.to_zoned(zone).date()
}

prop_compose! {
    fn a_strategy()(
        calendar in proptest::option::weighted(0.8, a_calendar()),
        minutes in prop_oneof![Just(0_u32), 0_u32..3_000],
        days in prop_oneof![Just(0_u32), 0_u32..4],
        (days_min, more) in (0_u32..4, 0_u32..4),
        (moves, delivers) in (0_u8..128, 0_u8..128),
        holidays in proptest::collection::vec(0_i64..365, 0..8),
    ) -> Value {
        let holidays: Vec<String> = holidays.iter().map(|day| date(*day)).collect();
        json!({
            "name": "random", "rules": [{"name": "all"}],
            "locations": {"LONDON": {"calendar": calendar, "handling_minutes": minutes, "handling_days": days}},
            "transit": {"holidays": {"GB": holidays}, "lanes": [{"days_min": days_min, "days_max": days_min + more,
                "moves": weekdays(moves), "delivers": weekdays(delivers)}]},
        })
    }
}

proptest! {
    #[test]
    fn a_promise_is_never_past_and_never_earlier_for_who_comes_later(
        strategy in a_strategy(), one in a_second(), other in a_second(), near in 0_i64..90_000,
    ) {
        let compiled = compiled(&strategy).expect("sane");
        let of = |second: i64| compiled.promise(&inputs(second, [20, 50], "standard", "GB"), 0);
        for (first, second) in [(one.min(other), one.max(other)), (one, one + near)] {
            let (early, late) = (of(first), of(second));
            if let Some(promise) = early {
                prop_assert!(promise.earliest <= promise.latest);
                prop_assert!(String::from(promise.earliest) >= local_date(first).to_string());
            }
            if let (Some(early), Some(late)) = (early, late) {
                prop_assert!(early.earliest <= late.earliest && early.latest <= late.latest);
            }
            let ready = |second: i64| compiled.ready_at(0, Timestamp(second * 1_000_000));
            if let Some(early) = ready(first) {
                prop_assert!(early >= Timestamp(first * 1_000_000));
                prop_assert!(ready(second).is_none_or(|late| early <= late));
            }
        }
    }

    #[test]
    fn a_missed_cut_off_costs_at_least_until_the_next(strategy in a_strategy(), second in a_second()) {
        let compiled = compiled(&strategy).expect("sane");
        let calendar = &strategy["locations"]["LONDON"]["calendar"];
        let promise = compiled.promise(&inputs(second, [20, 50], "standard", "GB"), 0);
        if let Some(promise) = promise {
            let lane = &strategy["transit"]["lanes"][0];
            let delivers = lane["delivers"].as_array().expect("a list");
            let delivers = if delivers.is_empty() { lane["moves"].as_array().expect("a list") } else { delivers };
            for day in [promise.earliest, promise.latest] {
                let day: jiff::civil::Date = String::from(day).parse().expect("a date");
                let weekday = format!("{:?}", day.weekday()).to_lowercase();
                prop_assert!(delivers.is_empty() || delivers.contains(&json!(weekday)));
                prop_assert!(!strategy["transit"]["holidays"]["GB"].as_array().expect("a list").contains(&json!(day.to_string())));
            }
            if !calendar.is_null() {
                let calendar: Calendar = serde_json::from_value(calendar.clone()).expect("a calendar");
                let next = calendar.next_cut_off(&london(), Timestamp(second * 1_000_000));
                // A cut-off at 24:00 is that of the day which ends.
                let leaves = local_date(next.expect("it works on some days").0 / 1_000_000 - 1);
                prop_assert!(String::from(promise.earliest) >= leaves.to_string());
            }
        }
    }
}
