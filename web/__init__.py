"""The browser's side: the panel, the live preview, and a browser's camera over WebRTC."""
