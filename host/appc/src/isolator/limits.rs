//! Isolators that are amounts: of resources, and two numbers that the kernel bounds.

use serde::{Deserialize, Serialize};

use crate::{InvalidValue, Quantity};

/// How much of a resource an app is to have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawResource", into = "RawResource")]
pub struct Resource {
    /// What it needs at least.
    pub request: Option<Quantity>,
    /// What it may use at most.
    pub limit: Option<Quantity>,
}

/// How much of a device that all share an app may use in a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RawResource", into = "RawResource")]
pub struct Throughput {
    /// What it may use at most.
    pub limit: Quantity,
}

#[derive(Serialize, Deserialize)]
struct RawResource {
    #[serde(default, skip_serializing_if = "crate::json::is_false")]
    default: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request: Option<Amount>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<Amount>,
}

/// A quantity that is not below zero.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "Quantity", into = "Quantity")]
struct Amount(Quantity);

impl TryFrom<Quantity> for Amount {
    type Error = InvalidValue;

    fn try_from(quantity: Quantity) -> Result<Self, Self::Error> {
        if quantity.is_negative() {
            return Err(InvalidValue::new("amount of a resource", quantity, "it is below zero"));
        }
        Ok(Self(quantity))
    }
}

impl From<Amount> for Quantity {
    fn from(amount: Amount) -> Self {
        amount.0
    }
}

impl TryFrom<RawResource> for Resource {
    type Error = InvalidValue;

    fn try_from(raw: RawResource) -> Result<Self, Self::Error> {
        if raw.default {
            let rule = "this resource has no default; it must be false or left out";
            return Err(InvalidValue::new("value of \"default\"", true, rule));
        }
        Ok(Self { request: raw.request.map(Quantity::from), limit: raw.limit.map(Quantity::from) })
    }
}

impl From<Resource> for RawResource {
    fn from(resource: Resource) -> Self {
        Self { default: false, request: resource.request.map(Amount), limit: resource.limit.map(Amount) }
    }
}

impl TryFrom<RawResource> for Throughput {
    type Error = InvalidValue;

    fn try_from(raw: RawResource) -> Result<Self, Self::Error> {
        let invalid = |field, value: &dyn std::fmt::Display, rule| Err(InvalidValue::new(field, value, rule));
        if !raw.default {
            let rule = "this resource is limited for all devices, so it must be true";
            return invalid("value of \"default\"", &false, rule);
        }
        if let Some(Amount(request)) = raw.request {
            return invalid("limit", &request, "this resource cannot be requested");
        }
        match raw.limit {
            Some(Amount(limit)) => Ok(Self { limit }),
            None => invalid("limit", &"", "it is missing"),
        }
    }
}

impl From<Throughput> for RawResource {
    fn from(throughput: Throughput) -> Self {
        Self { default: true, request: None, limit: Some(Amount(throughput.limit)) }
    }
}

/// A number that a type bounds.
macro_rules! bounded_number {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $min:literal, $max:literal, $rule:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "i64", into = "i64")]
        pub struct $name(i32);

        impl $name {
            /// The number.
            pub fn get(self) -> i32 {
                self.0
            }
        }

        impl TryFrom<i64> for $name {
            type Error = InvalidValue;

            fn try_from(number: i64) -> Result<Self, Self::Error> {
                match i32::try_from(number) {
                    Ok(number) if ($min..=$max).contains(&number) => Ok(Self(number)),
                    _ => Err(InvalidValue::new($kind, number, $rule)),
                }
            }
        }

        impl From<$name> for i64 {
            fn from(number: $name) -> Self {
                Self::from(number.0)
            }
        }
    };
}

bounded_number!(
    /// -1000 (never killed for want of memory) to 1000 (killed first).
    OomScoreAdj, "OOM score adjustment", -1000, 1000, "it is -1000 to 1000"
);
bounded_number!(
    /// A weight of 2 to 262144; 1024 is that of a process that asks for nothing.
    CpuShares, "number of CPU shares", 2, 262_144, "it is 2 to 262144"
);
bounded_number!(
    /// A number of processes and threads, of 1 to 4194304, the most that Linux numbers.
    PidsLimit, "number of processes", 1, 4_194_304, "it is 1 to 4194304"
);
