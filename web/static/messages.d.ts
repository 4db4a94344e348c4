// Made by `python -m vcam_relight.web.declarations` from web/messages.py, pipeline/controls.py and
// vcam/settings/store.py: change those.

/** How a value is written for people: `value * scale`, then `unit`. */
export interface NumberFormat {
  unit: string;
  scale: number;
  decimals: number;
  signed: boolean;
}

/** All that is known of one control but its name, which is its field's. */
export interface Control {
  label: string;
  help: string;
  group: "Light" | "Blend" | "View";
  low: number;
  high: number;
  default: number;
  step: number;
  format: NumberFormat;
  optional: boolean;
}

/** A value for each of the user's controls, in the order in which the panel shows them. */
export interface RelightSettings {
  intensity: number;
  warmth: number;
  fill: number;
  shadows: number;
  highlights: number;
  background: number;
  strength: number;
  yaw: number;
  pitch: number;
}

/** One distant light. */
export interface Light {
  azimuth: number;
  elevation: number;
  rgb: [number, number, number];
  softness: number;
}

export type ControlName = keyof RelightSettings;

/** Everything the user can change while the camera runs. */
export interface Settings extends RelightSettings {
  preset: string;
  aim: [number, number] | null;
  lights: Light[] | null;
  mirror: boolean;
  engine: string;
  backdrop: string;
  backdrop_amount: number;
  backdrop_color: string;
}

/** What people choose a preset by. */
export interface PresetSummary {
  name: string;
  title: string;
  help: string;
  lights: Light[];
}

/** A preset, and all that choosing it changes. */
export interface PresetInfo {
  name: string;
  title: string;
  help: string;
  lights: Light[];
  settings: Omit<Settings, "backdrop" | "backdrop_amount" | "backdrop_color" | "engine" | "mirror">;
  own: boolean;
}

/** First of all: what can be chosen. */
export interface HelloMessage {
  type: "hello";
  presets: PresetInfo[];
  controls: Record<ControlName, Control>;
  engines: string[];
}

/** The presets, when there are others. */
export interface PresetsMessage {
  type: "presets";
  presets: PresetInfo[];
}

/** A sink other than our own pages. */
export interface SinkSummary {
  kind: string;
  label: string;
}

/** How a sink fares. */
export interface SinkStats {
  fps: number;
  problem: string;
}

/** What the loop has counted and measured: frames per second, frames, milliseconds. */
export interface StatsInfo {
  fps_in: number;
  fps_out: number;
  frames_in: number;
  frames_out: number;
  drops: Record<string, number>;
  sinks: Record<string, SinkStats>;
  latency_ms: { p50?: number; p99?: number };
  stages_ms: Record<string, { p50?: number; p99?: number }>;
  event_loop_lag_ms: { p50?: number; p99?: number };
}

/** How much work frames are worth at the moment. */
export interface EffortInfo {
  level: number;
  name: string;
  reason: string;
}

/** Twice a second and after each change: what is so now. */
export interface StateMessage {
  type: "state";
  state: "starting" | "running" | "degraded" | "idle" | "stopped";
  reason: string;
  applied: number;
  size: [number, number] | null;
  settings_id: number;
  settings: Settings;
  source: string;
  sinks: SinkSummary[];
  unsupported_controls: ControlName[];
  stats: StatsInfo;
  effort: EffortInfo;
  runs_on: string;
}

/** One that connections ask, as of RTCIceServer in WebRTC. */
export interface IceServerInfo {
  urls: string;
  username?: string;
  credential?: string;
}

/** What a browser's camera should send. */
export interface CameraInfo {
  width: number;
  height: number;
  fps: number;
}

/** What a page needs to send its camera. */
export interface JoinState {
  ice_servers: IceServerInfo[];
  camera: CameraInfo;
  guest: boolean;
}

/** The answer to `GET /api/state`. */
export interface ServerState {
  type: "state";
  state: "starting" | "running" | "degraded" | "idle" | "stopped";
  reason: string;
  applied: number;
  size: [number, number] | null;
  settings_id: number;
  settings: Settings;
  source: string;
  sinks: SinkSummary[];
  unsupported_controls: ControlName[];
  stats: StatsInfo;
  effort: EffortInfo;
  runs_on: string;
  ice_servers: IceServerInfo[];
  camera: CameraInfo;
  guest: boolean;
  peers: number;
}

/** A camera or clip that can be chosen. */
export interface SourceInfo {
  source: string;
  label: string;
}

/** The answer to `GET /api/source`, and to a `SourceWish` that came true. */
export interface SourcesState {
  sources: SourceInfo[];
  source: string;
  size: [number, number];
  fps: number;
  sizes: [number, number][];
  rates: number[];
  fixed: boolean;
}

/** The body of `POST /api/source`. */
export interface SourceWish {
  source: string;
  size: [number, number];
  fps: number;
}

/** The body of `POST /api/backdrop`. */
export interface BackdropPicture {
  picture: string;
}

/** The body of `POST /api/recording`. */
export interface RecordingWish {
  on: boolean;
}

/** The answer to `POST /api/recording`. */
export interface RecordingState {
  on: boolean;
  path: string;
}

/** A `set` was accepted: the settings as they are now. */
export interface AckMessage {
  type: "ack";
  id: number | null;
  settings_id: number;
  settings: Settings;
}

/** A message was refused; nothing has changed. */
export interface ErrorMessage {
  type: "error";
  id: number | null;
  error: string;
}

/** Asks for changes of the settings. */
export interface SetMessage {
  type: "set";
  id: number | null;
  changes: Partial<Settings>;
}

/** Saves the current look as a preset, or changes one that was saved; answered as `set` is. */
export interface LookMessage {
  type: "look";
  id: number | null;
  action: "save" | "rename" | "move" | "delete";
  name: string;
  title: string;
  by: number;
}

/** What the panel shows: whether it is visible, and what it needs beside the relit image. */
export interface ViewMessage {
  type: "view";
  visible: boolean;
  original: boolean;
  thumbnails: boolean;
}

/** The panel has shown a frame and can take the next one. */
export interface ShownMessage {
  type: "shown";
  frame: number;
}

/** Stands before the JPEGs of a frame of the preview. */
export interface FrameHeader {
  type: "frame";
  frame: number;
  width: number;
  height: number;
  settings_id: number;
  parts: number[];
}

/** Stands before a JPEG with a square for each preset, row by row. */
export interface ThumbnailsHeader {
  type: "thumbnails";
  names: string[];
  side: number;
  columns: number;
  parts: number[];
}

/** An offer to `POST /api/offer`. */
export interface OfferMessage {
  type: "offer";
  sdp: string;
  replaces: string | null;
  settings: Partial<Settings> | null;
  ticket: string | null;
}

/** Its answer. */
export interface AnswerMessage {
  type: "answer";
  sdp: string;
  connection: string;
}

/** The answer where all places are taken (503): ask again after `Retry-After` seconds. */
export interface BusyMessage {
  error: string;
  ticket: string;
  place: number;
}

/** One stream, for who runs the program. */
export interface SessionInfo {
  id: string;
  state: "starting" | "running" | "degraded" | "idle" | "stopped";
  reason: string;
  fps: number;
  age_ms: number;
  minutes: number;
  engine: string;
  runs_on: string;
}

/** The answer to `GET /api/house`: who is in, for who runs the program. */
export interface HouseState {
  sessions: SessionInfo[];
  places: number;
  waiting: number;
  lag_ms: number;
}

/** The connection is about to end, and why; the page may come back. */
export interface ByeMessage {
  type: "bye";
  reason: string;
}

export type ServerMessage = HelloMessage | PresetsMessage | StateMessage | AckMessage | ErrorMessage | ByeMessage;

export type PanelMessage = ViewMessage | ShownMessage | LookMessage;

export type ClientMessage = SetMessage | ViewMessage | ShownMessage | LookMessage;

export type BinaryHeader = FrameHeader | ThumbnailsHeader;
