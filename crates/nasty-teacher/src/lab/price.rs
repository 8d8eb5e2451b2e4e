//! The cost of many tasks: what each of them adds up, with what earlier ones make and ask for.

use super::cost::{Cost, Estimate, Rate};
use super::data_facts::DataFacts;
use super::plan::Plan;
use super::task::Task;
use crate::data::DataName;
use crate::nets::{Architecture, NetError};
use crate::training::NetworkRef;
use burn::tensor::Device;
use std::collections::{HashMap, HashSet};

/// Gives every task of `plan` its cost: seconds, where `rate` says how fast networks are; otherwise image·MACs. Tasks on data of which
/// nothing is known cost nothing.
///
/// # Errors
/// [`NetError`] if a network cannot be built for its data set.
pub fn price(
    plan: &mut Plan,
    facts: &dyn Fn(&DataName) -> Option<DataFacts>,
    device: &Device,
    mut rate: Option<&mut Rate<'_>>,
) -> Result<(), NetError> {
    let tasks = plan.tasks.iter().map(|planned| &planned.task);
    let costs = Cost::of_each(tasks, &|_| true, &|_| None, facts, device)?;
    for (planned, cost) in plan.tasks.iter_mut().zip(costs) {
        planned.cost = match &mut rate {
            Some(rate) => cost.seconds(rate)?,
            None => cost.macs,
        };
    }
    Ok(())
}

impl Cost {
    /// The cost of those of `tasks` that `left` says are still to be done; `there` knows networks that none of them makes.
    ///
    /// # Errors
    /// [`NetError`] if a network cannot be built for its data set.
    pub fn of<'t>(
        tasks: impl IntoIterator<Item = &'t Task> + Clone,
        left: &dyn Fn(&Task) -> bool,
        there: &dyn Fn(&NetworkRef) -> Option<Architecture>,
        facts: &dyn Fn(&DataName) -> Option<DataFacts>,
        device: &Device,
    ) -> Result<Self, NetError> {
        let mut sum = Self::default();
        for cost in Self::of_each(tasks, left, there, facts, device)? {
            sum.macs += cost.macs;
            cost.passes.into_iter().for_each(|(shape, passes)| sum.add(shape, passes, 0));
        }
        Ok(sum)
    }

    /// The same for each of those tasks by itself, if they are carried out in this order.
    fn of_each<'t>(
        tasks: impl IntoIterator<Item = &'t Task> + Clone,
        left: &dyn Fn(&Task) -> bool,
        there: &dyn Fn(&NetworkRef) -> Option<Architecture>,
        facts: &dyn Fn(&DataName) -> Option<DataFacts>,
        device: &Device,
    ) -> Result<Vec<Self>, NetError> {
        let (mut asked, mut sizes) = (HashSet::new(), Vec::new());
        let made: HashMap<String, Architecture> =
            tasks.clone().into_iter().filter_map(|task| Some((task.hash(), task.makes()?))).collect();
        let architecture = |network: &NetworkRef| made.get(&network.0).copied().or_else(|| there(network));
        let cost = |task: &Task| {
            let mut cost = Self::default();
            if let Some(facts) = &facts(task.data()) {
                let (cost, sizes, asked) = (&mut cost, &mut sizes, &mut asked);
                let architecture = &architecture;
                task.cost(&mut Estimate { facts, device, cost, sizes, asked, architecture })?;
            }
            Ok(cost)
        };
        tasks.into_iter().filter(|task| left(task)).map(cost).collect()
    }
}
