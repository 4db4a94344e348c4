"""Placeholder replaced by the engine: brightens the left half, so that others can test against it."""
import cv2
import numpy as np
class _S:
    def reset(self): pass
class GeometryEngine:
    name='geometry'; needs_faces=True; views=False
    def new_state(self,timer): return _S()
    def relight(self,frame,faces,lighting,settings,state):
        g=1+0.3*lighting.sh[3].mean()
        return cv2.convertScaleAbs(frame,alpha=float(g)*settings.intensity)
