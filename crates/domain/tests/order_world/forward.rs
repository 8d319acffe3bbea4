//! L7 between two states of one order.

use consign_domain::order::Order;

/// L7: whatever has a machine moves only along it.
pub fn forward_only(before: &Order, after: &Order, about: &dyn Fn() -> String) {
    assert!(
        before.version == 0 || !before.is_placed() || before.status.may_become(after.status),
        "{:?} → {:?} {}",
        before.status,
        after.status,
        about()
    );
    for (old, new) in before
        .fulfillment_orders
        .iter()
        .zip(&after.fulfillment_orders)
    {
        assert!(
            old.status.may_become(new.status),
            "{:?} → {:?} {}",
            old.status,
            new.status,
            about()
        );
    }
    for (old, new) in before.shipments.iter().zip(&after.shipments) {
        assert!(
            old.status.may_become(new.status),
            "{:?} → {:?} {}",
            old.status,
            new.status,
            about()
        );
    }
    for (old, new) in before.returns.iter().zip(&after.returns) {
        assert!(
            old.status.may_become(new.status),
            "{:?} → {:?} {}",
            old.status,
            new.status,
            about()
        );
    }
}
