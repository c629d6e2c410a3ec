//! What the server vended by an association of which it had not told yet.

use crate::double::Mood;
use crate::node::{Node, until};

/// An agent that got something for a pod by an association that it was not told of; and the pod's token.
async fn ahead() -> (Node, String) {
    let node = Node::start().await;
    node.double.state().is_mute = true;
    node.double.associate("cart", 0);
    let token = node.issuer.pod("cart", "cart-1");
    assert_eq!(node.key(&token).await, "AK1");
    (node, token)
}

async fn is_told(node: &Node) {
    node.double.state().is_mute = false;
    node.told().await;
}

#[tokio::test]
async fn what_was_vended_before_its_association_was_told_is_handed_out_while_the_server_is_away() {
    let (node, token) = ahead().await;
    node.double.state().mood = Mood::Gone;
    assert_eq!(node.key(&token).await, "AK1");
}

#[tokio::test]
async fn what_was_vended_before_its_association_was_told_is_asked_for_again_until_it_is() {
    let (node, token) = ahead().await;
    assert_eq!(node.key(&token).await, "AK2", "nobody would notice the end of what was not told");
    is_told(&node).await;
    assert_eq!(node.key(&token).await, "AK2");
    assert_eq!(node.double.asked(), 2);
}

#[tokio::test]
async fn what_was_vended_by_an_association_that_ended_untold_is_handed_out_to_nobody() {
    let (node, token) = ahead().await;
    node.double.end("cart");
    is_told(&node).await;
    node.double.state().mood = Mood::Gone;
    assert_eq!(node.refusal(&token).await.0, 503);
    assert_eq!(node.desk.sizes().1, 0);
}

#[tokio::test]
async fn what_was_vended_is_dropped_if_what_is_told_afterwards_does_not_name_its_association() {
    let (node, token) = ahead().await;
    node.double.unmake("cart");
    // Whatever was asked before it was vended is answered or given up by then.
    node.clock.advance_seconds(60);
    node.double.state().is_mute = false;
    until(|| node.desk.sizes().1 == 0).await;
    node.double.state().mood = Mood::Gone;
    assert_eq!(node.refusal(&token).await.0, 503);
}

#[tokio::test]
async fn a_refusal_takes_away_what_was_vended_by_an_untold_association() {
    let (node, token) = ahead().await;
    node.double.state().mood = Mood::Answers(403, Some("no-association"));
    assert_eq!(node.refusal(&token).await, (403, "no-association".to_owned()));
    assert_eq!(node.desk.sizes().1, 0);
}
