"""The panel's WebSocket and live preview."""
