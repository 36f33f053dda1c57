// Generated from the service hardware. Do not edit: change the service and generate anew.

import { ServiceError, defineService, type CallOptions, type RpcStream, type ServiceStub, type Shape } from "../index.js";

/**
 * An event, as a reader gets it.
 *
 * Attributes:
 *     node: the name of the node that has published it.
 *     id: the id of that node.
 *     epoch: the number of the life of its server, as 16 hexadecimal digits. Numbers begin anew with each life.
 *     seq: the number of the event: 1 for the first of its kind in this life.
 *     time: when it was published, in seconds since 1970.
 *     lost: how many events of its kind this reader has not got between the one before and this one.
 *     value: what has happened.
 */
export interface EventOfDeviceEvent {
  node: string;
  id: string;
  epoch: string;
  seq: number;
  time: number;
  lost: number;
  value: DeviceEvent;
}

/**
 * Something about the devices. `snapshot` comes first, with all of them; then one for each change; `resync`,
 * again with all of them, where events were lost.
 */
export interface DeviceEvent {
  action: "snapshot" | "add" | "remove" | "change" | "resync";
  /** when it was seen, in seconds since 1970 */
  t_wall_s: number;
  /** which (add, remove, change); removed ones as last seen */
  device: Device | null;
  /** all of them (snapshot, resync) */
  devices: Device[] | null;
  /** what was lost (resync) */
  reason: string;
}

/**
 * A device. `properties` has what only its subsystem knows, under osquery's names (tables `pci_devices`,
 * `usb_devices`, `block_devices`, `memory_devices`, `system_info`, `interface_details`).
 */
export interface Device {
  /** its path in sysfs below the root, which is unique; smbios/... for what DMI lists */
  id: string;
  subsystem: "pci" | "usb" | "block" | "net" | "input" | "tty" | "drm" | "memory" | "dmi";
  /** as the kernel calls it, such as sda or 0000:00:1f.2 */
  name: string;
  /** who made it */
  vendor: string | null;
  /** four hexadecimal digits */
  vendor_id: string | null;
  model: string | null;
  /** four hexadecimal digits */
  model_id: string | null;
  /** its serial number */
  serial: string | null;
  /** the kernel's driver for it */
  driver: string | null;
  /** its file in /dev */
  node: string | null;
  /** a link to that file which outlives replugging */
  by_id: string | null;
  /** id of the device that it hangs on, where that is listed */
  parent: string | null;
  properties: Record<string, string | number | null>;
}

/** A serial port of the machine. */
export interface SerialPort {
  /** what to open it by: a link that outlives replugging where there is one, else its file */
  id: string;
  /** its file in /dev */
  node: string;
  /** as the kernel calls it, such as ttyUSB0 */
  name: string;
  /** a link to its file which outlives replugging */
  by_id: string | null;
  /** who made the adapter */
  vendor: string | null;
  /** four hexadecimal digits */
  vendor_id: string | null;
  model: string | null;
  /** four hexadecimal digits */
  model_id: string | null;
  /** serial number of the adapter */
  serial: string | null;
  driver: string | null;
  /** its id in the inventory of devices */
  device: string;
  /** whether a client of this server has it open */
  in_use: boolean;
}

/** A port that is open for one client. */
export interface SerialSession {
  /** names it in the other calls, of the same connection */
  id: string;
  /** its file in /dev */
  port: string;
  settings: SerialSettings;
}

/** How a port is set up. */
export interface SerialSettings {
  /** bits per second */
  baudrate: number;
  /** data bits */
  bytesize: 5 | 6 | 7 | 8;
  /** none, even, odd, mark or space */
  parity: "N" | "E" | "O" | "M" | "S";
  /** stop bits: 1, 1.5 or 2 */
  stopbits: number;
  /** flow control by the characters XON and XOFF */
  xonxoff: boolean;
  /** flow control by the lines RTS and CTS */
  rtscts: boolean;
  /** flow control by the lines DSR and DTR */
  dsrdtr: boolean;
}

/** What has come in. */
export interface SerialData {
  data: Uint8Array;
  /** how often input had been thrown away when this came: older data is void */
  resets: number;
}

/** How a port is set up. */
export interface SerialSettingsInput {
  /** bits per second */
  baudrate?: number | bigint;
  /** data bits */
  bytesize?: 5 | 6 | 7 | 8;
  /** none, even, odd, mark or space */
  parity?: "N" | "E" | "O" | "M" | "S";
  /** stop bits: 1, 1.5 or 2 */
  stopbits?: number;
  /** flow control by the characters XON and XOFF */
  xonxoff?: boolean;
  /** flow control by the lines RTS and CTS */
  rtscts?: boolean;
  /** flow control by the lines DSR and DTR */
  dsrdtr?: boolean;
}

/** The control lines. None: the port has no such line. */
export interface SerialLines {
  /** out: data terminal ready */
  dtr: boolean | null;
  /** out: request to send */
  rts: boolean | null;
  /** in: clear to send */
  cts: boolean | null;
  /** in: data set ready */
  dsr: boolean | null;
  /** in: ring indicator */
  ri: boolean | null;
  /** in: carrier detect */
  cd: boolean | null;
  /** out: whether the line is held at break */
  break_condition: boolean;
  /** bytes that have come in and were not sent on yet */
  in_waiting: number;
  /** bytes that the system still has to send */
  out_waiting: number;
  /** how often input was thrown away */
  resets: number;
}

/** What a disk says of its own health. */
export interface Smart {
  /** its file */
  node: string;
  model_name: string | null;
  serial_number: string | null;
  firmware_version: string | null;
  /** ATA, NVMe or SCSI */
  protocol: string | null;
  /** whether the disk finds itself healthy */
  passed: boolean | null;
  temperature_celsius: number | null;
  power_on_hours: number | null;
  power_cycle_count: number | null;
  /** of an ATA disk */
  attributes: SmartAttribute[];
  /** health log of an NVMe disk, under smartctl's names */
  nvme: Record<string, number>;
  /** why values are missing; empty where none of the verdict is */
  reason: string;
}

/** One attribute of an ATA disk (smartctl's names). */
export interface SmartAttribute {
  id: number;
  /** empty where smartctl does not know it */
  name: string;
  /** normalised: the higher, the better */
  value: number | null;
  /** lowest value so far */
  worst: number | null;
  /** at or below it, the disk is about to fail */
  thresh: number | null;
  /** now, past, or empty */
  when_failed: string;
  raw_value: number | null;
  /** the raw value as the maker means it */
  raw_string: string;
}

/** The processes of one moment. */
export interface ProcessList {
  /** when, on a clock that only runs forward, in seconds */
  t_mono_s: number;
  /** when, in seconds since 1970 */
  t_wall_s: number;
  /** time over which cpu_percent was taken, in seconds; None at first, and where nobody asked for it */
  dt_s: number | null;
  /** how many there are, without those that the system hides */
  total: number;
  /** how many of them run now; None where status was not asked for */
  running: number | null;
  processes: Process[];
  /** why these are not all (processes): the system may hide those of others */
  reasons: Record<string, string>;
}

/** A process. `pid` and `create_time` together name it. What was not asked for is None. */
export interface Process {
  pid: number;
  /** when it started, in seconds since 1970 */
  create_time: number | null;
  /** its parent */
  ppid: number | null;
  /** as the system has it; a program may call itself anything */
  name: string | null;
  /** whose it is */
  username: string | null;
  /** running, sleeping, zombie, ... */
  status: string | null;
  /** share of one processor since the last reading; None at first */
  cpu_percent: number | null;
  /** processor time in the program, in seconds */
  cpu_user_s: number | null;
  /** processor time in the kernel, in seconds */
  cpu_system_s: number | null;
  /** physical memory that it holds */
  rss_bytes: number | null;
  /** its address space */
  vms_bytes: number | null;
  /** share of physical memory, 0 to 100 */
  memory_percent: number | null;
  num_threads: number | null;
  /** open files */
  num_fds: number | null;
  /** priority, -20 (first) to 19 (last) */
  nice: number | null;
  /** processors that it may run on */
  cpu_affinity: number[] | null;
  /** read from disks */
  read_bytes: number | null;
  /** written to disks */
  write_bytes: number | null;
  /** its command line; what looks like a secret is replaced by ***, and what comes after 4,096 characters, in `process` after 65,536, by … */
  cmdline: string[] | null;
  /** the program's file; None without a reason: a part of the kernel, which has none */
  exe: string | null;
  /** its working directory */
  cwd: string | null;
  /** its terminal; None without a reason: it has none */
  terminal: string | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** Everything about one process. */
export interface ProcessDetails {
  process: Process;
  /** real, effective, saved */
  uids: number[] | null;
  /** real, effective, saved */
  gids: number[] | null;
  children: ProcessRef[] | null;
  open_files: OpenFile[] | null;
  /** memory that only it holds: what its end would free */
  uss_bytes: number | null;
  ctx_switches_voluntary: number | null;
  ctx_switches_involuntary: number | null;
  cgroup: string | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** Names a process for good: a number alone is used again. */
export interface ProcessRef {
  pid: number;
  /** when it started, in seconds since 1970, as it was listed */
  create_time: number;
}

/** A file that a process has open. */
export interface OpenFile {
  path: string;
  fd: number;
  mode: string | null;
}

/** Several sections, read together. What was not asked for is None. */
export interface Snapshot {
  /** when, on a clock that only runs forward, in seconds */
  t_mono_s: number;
  /** when, in seconds since 1970 */
  t_wall_s: number;
  /** time over which rates were taken, in seconds; None at first, and where there are none */
  dt_s: number | null;
  host: Host | null;
  cpu: Cpu | null;
  memory: Memory | null;
  disks: Disks | null;
  network: Network | null;
  sensors: Sensors | null;
  battery: Battery | null;
  users: User[] | null;
  cgroup: Cgroup | null;
  pressure: Pressure | null;
  gpus: Gpus | null;
  /** why a section could not be read, by section */
  reasons: Record<string, string>;
}

/** The machine and its system. */
export interface Host {
  hostname: string;
  /** such as Linux */
  system: string;
  /** of the kernel */
  release: string;
  /** of the kernel, in full */
  version: string;
  /** such as x86_64 */
  machine: string;
  /** such as Debian GNU/Linux 12 */
  distribution: string | null;
  /** the server's Python */
  python: string;
  /** when the system started, in seconds since 1970 */
  boot_time: number;
  /** since then, in seconds */
  uptime_s: number;
  /** the hypervisor or container around it, where the system shows one */
  virtualization: string | null;
  /** who made the machine */
  hardware_vendor: string | null;
  /** what the maker calls it */
  hardware_model: string | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** The processors. */
export interface Cpu {
  /** busy share of all processors since the last reading, 0 to 100 */
  percent: number | null;
  /** each logical processor, those that are offline included */
  cores: CpuCore[];
  /** processors that the system schedules on: those that are online */
  logical: number;
  /** cores, where the system tells */
  physical: number | null;
  /** processor packages, where the system tells */
  sockets: number | null;
  /** the processor's name */
  model: string | null;
  /** current frequency, the mean of all, in MHz */
  frequency_mhz: number | null;
  /** lowest frequency, in MHz */
  frequency_min_mhz: number | null;
  /** highest frequency, in MHz */
  frequency_max_mhz: number | null;
  /** load average over one minute */
  load_1m: number | null;
  /** load average over five minutes */
  load_5m: number | null;
  /** load average over fifteen minutes */
  load_15m: number | null;
  /** of all processors together */
  times: CpuTimes;
  /** context switches since the system started */
  ctx_switches: number | null;
  /** since the system started */
  interrupts: number | null;
  /** since the system started */
  soft_interrupts: number | null;
  /** since the last reading */
  ctx_switches_per_s: number | null;
  /** since the last reading */
  interrupts_per_s: number | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** One logical processor. */
export interface CpuCore {
  /** the kernel's number of it: where one is offline, those behind it keep theirs */
  cpu: number;
  /** whether the system schedules on it; if not, the rest is None */
  online: boolean;
  /** busy share since the last reading, 0 to 100 */
  percent: number | null;
  /** current frequency, in MHz; None where the system does not tell */
  frequency_mhz: number | null;
  /** None where it is offline */
  times: CpuTimes | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** What processors have spent their time on, in seconds since the system started. None: not told by the system. */
export interface CpuTimes {
  user: number;
  system: number;
  idle: number;
  nice: number | null;
  iowait: number | null;
  irq: number | null;
  softirq: number | null;
  steal: number | null;
  guest: number | null;
  guest_nice: number | null;
}

/** Memory of the host; the `cgroup` section says what of it the server's own group may use. */
export interface Memory {
  /** physical memory */
  total_bytes: number;
  /** what programs can get without swapping */
  available_bytes: number;
  /** physical memory in use */
  used_bytes: number;
  /** physical memory that nothing uses, not even as a cache */
  free_bytes: number;
  /** share that is not available, 0 to 100 */
  percent: number;
  active_bytes: number | null;
  inactive_bytes: number | null;
  buffers_bytes: number | null;
  cached_bytes: number | null;
  shared_bytes: number | null;
  slab_bytes: number | null;
  swap: Swap | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** Swap space. */
export interface Swap {
  total_bytes: number;
  used_bytes: number;
  free_bytes: number;
  /** share in use, 0 to 100 */
  percent: number;
  /** swapped in since the system started */
  sin_bytes: number;
  /** swapped out since the system started */
  sout_bytes: number;
  /** since the last reading */
  sin_bytes_per_s: number | null;
  /** since the last reading */
  sout_bytes_per_s: number | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** File systems and block devices. */
export interface Disks {
  filesystems: Filesystem[];
  io: DiskIo[];
  /** why a field is empty, by its name */
  reasons: Record<string, string>;
}

/**
 * A mounted file system, as df(1) lists it: what has room for nothing is left out, such as proc and sysfs, and so
 * is what lies hidden below another mount.
 */
export interface Filesystem {
  /** what is mounted */
  device: string;
  /** where */
  mountpoint: string;
  /** kind of file system */
  fstype: string;
  /** options of the mount */
  opts: string;
  /** the folder of the file system that is mounted; / for all of it */
  root: string;
  /** whether it shows a part of a file system, or one that is mounted elsewhere, too */
  bind: boolean;
  /** where else the same file system is mounted, to be counted there; empty: count this one */
  same_as: string;
  /** its size */
  total_bytes: number | null;
  /** in use */
  used_bytes: number | null;
  /** free for users without privileges */
  free_bytes: number | null;
  /** share in use, 0 to 100 */
  percent: number | null;
  /** files that it can hold */
  inodes_total: number | null;
  /** files that it can still take */
  inodes_free: number | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** What went through a block device. Rates are None until two readings exist, and after a counter's reset. */
export interface DiskIo {
  /** the device */
  name: string;
  /** disk, partition or virtual (RAID, LVM, loop, memory): what goes through one of the last two goes through a disk, too, and only disks may be added up; None where the system does not tell */
  kind: "disk" | "partition" | "virtual" | null;
  /** reads since the system started */
  read_count: number;
  /** writes since the system started */
  write_count: number;
  /** since the system started */
  read_bytes: number;
  /** since the system started */
  write_bytes: number;
  /** time with work to do since the system started, in ms */
  busy_time_ms: number | null;
  /** since the last reading */
  read_count_per_s: number | null;
  /** since the last reading */
  write_count_per_s: number | null;
  /** since the last reading */
  read_bytes_per_s: number | null;
  /** since the last reading */
  write_bytes_per_s: number | null;
  /** share of time with work to do since the last reading, 0 to 100 */
  busy_percent: number | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** The network interfaces. */
export interface Network {
  interfaces: NetworkInterface[];
  /** what goes out of the system and comes into it, once: hardware, and what leads to containers and virtual machines of it if nothing of that goes on through the hardware */
  total: Traffic | null;
  /** what goes between the system and its containers and virtual machines, where that may go on through what total counts: by a bridge, or because the system forwards */
  inside: Traffic | null;
  /** why there are none, or what they lack, by field */
  reasons: Record<string, string>;
}

/** A network interface. Rates are None until two readings exist, and after a counter's reset. */
export interface NetworkInterface {
  name: string;
  /** what it is; None where the system does not tell */
  kind: "loopback" | "ethernet" | "wifi" | "mobile" | "infiniband" | "bridge" | "bond" | "vlan" | "macvlan" | "veth" | "tun" | "tunnel" | "virtual" | "other" | null;
  /** the interfaces that carry what goes through it: parts of a bridge or bond */
  lies_on: string[];
  /** in which sum: total (it leads out of the system), inside (to a container or virtual machine of it, from where it goes on through one of the former), or no (what goes through it goes through others, too, or nowhere) */
  counted: "total" | "inside" | "no";
  /** whether it is up */
  isup: boolean | null;
  /** None where the system does not tell */
  duplex: "full" | "half" | null;
  /** nominal speed, in Mbit/s */
  speed_mbit: number | null;
  /** largest packet, in bytes */
  mtu: number | null;
  addresses: Address[];
  /** since the system started */
  bytes_sent: number;
  /** since the system started */
  bytes_recv: number;
  /** since the system started */
  packets_sent: number;
  /** since the system started */
  packets_recv: number;
  /** failures to receive */
  errin: number;
  /** failures to send */
  errout: number;
  /** dropped on the way in */
  dropin: number;
  /** dropped on the way out */
  dropout: number;
  /** since the last reading */
  bytes_sent_per_s: number | null;
  /** since the last reading */
  bytes_recv_per_s: number | null;
  /** since the last reading */
  packets_sent_per_s: number | null;
  /** since the last reading */
  packets_recv_per_s: number | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** An address of a network interface. */
export interface Address {
  /** IPv4, IPv6, or the hardware's */
  family: "inet" | "inet6" | "link";
  address: string;
  netmask: string | null;
  broadcast: string | null;
}

/** What goes through several interfaces together. Rates are None until two readings exist. */
export interface Traffic {
  /** since the last reading */
  bytes_sent_per_s: number | null;
  /** since the last reading */
  bytes_recv_per_s: number | null;
  /** since the last reading */
  packets_sent_per_s: number | null;
  /** since the last reading */
  packets_recv_per_s: number | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** All sensors. */
export interface Sensors {
  readings: Sensor[];
  /** why there are none of a kind, by the kind */
  reasons: Record<string, string>;
}

/** A sensor's reading, in the unit of its kind. */
export interface Sensor {
  kind: "temperature" | "fan" | "voltage" | "current" | "power" | "humidity";
  /** which chip reports it */
  chip: string;
  /** what the chip is a part of, such as one of two disks: its path in sysfs below the root, as in the inventory; may be empty */
  device: string;
  /** what it measures; may be empty */
  label: string;
  /** degrees Celsius, turns per minute, volts, amperes, watts or percent */
  current: number | null;
  /** where it begins to be too much */
  high: number | null;
  /** where it is dangerous */
  critical: number | null;
  /** why there is no value */
  reason: string;
}

/** The batteries of the machine together, and each of them. */
export interface Battery {
  /** whether there is one */
  present: boolean;
  /** charge of all together, 0 to 100; one that does not tell how much it holds counts as much as the others do on the average */
  percent: number | null;
  /** whether it is on mains */
  power_plugged: boolean | null;
  /** time left, in seconds; None where unknown or on mains */
  secsleft: number | null;
  batteries: BatteryUnit[];
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** One battery of the machine. */
export interface BatteryUnit {
  /** as the system calls it, such as BAT0 */
  name: string;
  /** charge, 0 to 100 */
  percent: number | null;
  /** Charging, Discharging, Full, Not charging or Unknown */
  status: string | null;
  /** energy in it, in watt hours */
  energy_now_wh: number | null;
  /** energy when it is full now, in watt hours */
  energy_full_wh: number | null;
  /** energy when it was full as new, in watt hours */
  energy_design_wh: number | null;
  /** what flows in or out, in watts */
  power_w: number | null;
  /** how often it was charged */
  cycle_count: number | null;
  /** such as Li-ion */
  technology: string | null;
  manufacturer: string | null;
  model_name: string | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** A session of a user who is logged in. */
export interface User {
  name: string;
  terminal: string | null;
  /** where from */
  host: string | null;
  /** since when, in seconds since 1970; None where logind does not tell */
  started: number | null;
  pid: number | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/**
 * What the server's own control group allows and uses, beside what the host has. The tightest limit of the group
 * and all above it counts.
 */
export interface Cgroup {
  /** of the control groups that limit memory */
  version: 1 | 2 | null;
  /** the group, below the root of its hierarchy */
  path: string | null;
  /** None without a limit */
  memory_limit_bytes: number | null;
  memory_usage_bytes: number | null;
  /** usage of the limit, 0 to 100; None without a limit */
  memory_percent: number | null;
  /** usage without what the kernel keeps of files and gives back first when memory is short (the inactive ones): what counts before processes are killed, as for Kubernetes */
  memory_working_set_bytes: number | null;
  /** working set of the limit, 0 to 100; None without a limit */
  memory_working_set_percent: number | null;
  /** None without a limit */
  swap_limit_bytes: number | null;
  swap_usage_bytes: number | null;
  /** processes killed in the group for want of memory */
  oom_kills: number | null;
  /** processors' time per time; None without a limit */
  cpu_limit_cores: number | null;
  /** processor time used by the group, in seconds */
  cpu_usage_s: number | null;
  /** share of one processor since the last reading */
  cpu_percent: number | null;
  /** time that the group was held back, in seconds */
  cpu_throttled_s: number | null;
  /** processors that the group may run on */
  cpuset: number[] | null;
  /** None without a limit */
  pids_limit: number | null;
  pids_current: number | null;
  /** physical memory of the host */
  host_memory_bytes: number;
  /** processors of the host */
  host_cpus: number;
  /** the smaller of host and limit */
  usable_memory_bytes: number;
  /** the smallest of host, set and limit */
  usable_cpus: number;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** How much processes wait for a resource (Documentation/accounting/psi.rst): some of them, or all (`full`). */
export interface Pressure {
  cpu_some: Stall | null;
  cpu_full: Stall | null;
  memory_some: Stall | null;
  memory_full: Stall | null;
  io_some: Stall | null;
  io_full: Stall | null;
  irq_full: Stall | null;
  /** why a resource has no figures, by its name */
  reasons: Record<string, string>;
}

/** Shares of time in which something waited, in percent, and in total. */
export interface Stall {
  /** over ten seconds, 0 to 100 */
  avg10: number;
  /** over a minute, 0 to 100 */
  avg60: number;
  /** over five minutes, 0 to 100 */
  avg300: number;
  /** since the system started, in microseconds */
  total_us: number;
}

/** The graphics processors. */
export interface Gpus {
  gpus: Gpu[];
  /** why there are none of a vendor, by the vendor */
  reasons: Record<string, string>;
}

/** A graphics processor. Names are those of nvidia-smi's queries. */
export interface Gpu {
  index: number;
  name: string | null;
  /** nvidia or amd */
  vendor: string;
  uuid: string | null;
  /** its slot, as in the inventory of devices */
  pci_bus_id: string | null;
  driver_version: string | null;
  memory_total_bytes: number | null;
  memory_used_bytes: number | null;
  memory_free_bytes: number | null;
  /** share of time with work to do, 0 to 100 */
  utilization_gpu_percent: number | null;
  /** share of time with memory traffic, 0 to 100 */
  utilization_memory_percent: number | null;
  temperature_celsius: number | null;
  power_draw_w: number | null;
  power_limit_w: number | null;
  /** intended speed of the fan, 0 to 100 */
  fan_percent: number | null;
  clock_graphics_mhz: number | null;
  clock_memory_mhz: number | null;
  processes: GpuProcess[] | null;
  /** why a field is None, by its name */
  reasons: Record<string, string>;
}

/** A process that uses a GPU. */
export interface GpuProcess {
  pid: number;
  /** memory of the GPU that it holds; None where the driver hides it */
  memory_bytes: number | null;
}

/**
 * Metrics of one moment. A metric's name is its place in `Snapshot`, with what it belongs to in braces:
 * `cpu.percent`, `network.interfaces.bytes_recv_per_s{eth0}`, `disks.filesystems.percent{/home}`.
 */
export interface Sample {
  /** when, on a clock that only runs forward, in seconds */
  t_mono_s: number;
  /** when, in seconds since 1970 */
  t_wall_s: number;
  /** time over which rates were taken, in seconds; None at first, and where there are none */
  dt_s: number | null;
  /** by metric */
  values: Record<string, number | null>;
  /** why a value is None, by metric, where known */
  reasons: Record<string, string>;
}

/** The history of one metric. */
export interface Series {
  metric: string;
  /** the time that its finest points cover, in seconds; older ones may cover more */
  step_s: number;
  points: Point[];
}

/** A metric over a piece of time. */
export interface Point {
  /** its beginning, in seconds since 1970 */
  t_wall_s: number;
  /** how much time it covers, in seconds */
  step_s: number;
  /** None where nothing could be read */
  mean: number | null;
  min: number | null;
  max: number | null;
}

/** Whether a part of the machine can be read or used here. */
export interface Capability {
  section: "host" | "cpu" | "memory" | "disks" | "network" | "sensors" | "battery" | "users" | "cgroup" | "pressure" | "gpus" | "processes" | "connections" | "devices" | "device_events" | "serial" | "smart" | "history";
  /** available; unsupported by the system; denied to the server; absent */
  state: "available" | "unsupported" | "denied" | "absent";
  /** why not, for a person */
  reason: string;
  /** what is missing of an available section, and why, by field */
  metrics: Record<string, string>;
}

/** The sockets of the machine. */
export interface Connections {
  connections: NetworkConnection[];
  /** how many there are; more than are listed where the limit was reached */
  total: number;
  /** why there are none, or what they lack, by field */
  reasons: Record<string, string>;
}

/** A socket of the machine. */
export interface NetworkConnection {
  family: "inet" | "inet6" | "unix" | "other";
  type: "stream" | "datagram" | "other";
  /** None for a Unix socket */
  local_ip: string | null;
  local_port: number | null;
  /** None where it is not connected */
  remote_ip: string | null;
  remote_port: number | null;
  /** of a Unix socket */
  path: string | null;
  /** ESTABLISHED, LISTEN, ...; None where the protocol has none */
  status: string | null;
  /** whose it is; None where the server may not know */
  pid: number | null;
}

/** A whole section cannot be read at the moment. (A single value that cannot be read is None, with a reason.) */
export class SectionUnavailable extends ServiceError {
  declare readonly details: { section: string; reason: string; };
}

/** There is no such serial port, or it may not be used as one. */
export class SerialPortNotFound extends ServiceError {
  declare readonly details: { port: string; };
}

/** Somebody else has the port open, or reads it. */
export class SerialPortBusy extends ServiceError {
  declare readonly details: { port: string; };
}

/** The server's user may not open the port. */
export class SerialPortDenied extends ServiceError {
  declare readonly details: { port: string; };
}

/** The caller's role in the server's configuration does not list the device. */
export class HardwareRefused extends ServiceError {
  declare readonly details: { device: string; rule: string; };
}

/** This connection has no open port of this id. */
export class SerialNotOpen extends ServiceError {
  declare readonly details: { id: string; };
}

/** The port was unplugged, or is closed. */
export class SerialPortGone extends ServiceError {
  declare readonly details: { port: string; };
}

/** The port took no more bytes: the other side holds them back. */
export class SerialTimeout extends ServiceError {
  declare readonly details: { port: string; written: number; };
}

/** There is no such device. */
export class DeviceNotFound extends ServiceError {
  declare readonly details: { device: string; };
}

/** The process has ended. Its number may be another's by now, which was left alone. */
export class ProcessGone extends ServiceError {
  declare readonly details: { pid: number; };
}

/** The server's user may not do this to the process, or the caller's role allows only the caller's own. */
export class ProcessDenied extends ServiceError {
  declare readonly details: { pid: number; };
}

const shapeOfEventOfDeviceEvent: Shape = () => ({ node: "plain", id: "plain", epoch: "plain", seq: "int", time: "float", lost: "int", value: shapeOfDeviceEvent });

const shapeOfSerialData: Shape = () => ({ data: "bytes", resets: "int" });

const shapeOfSerialLines: Shape = () => ({ dtr: "plain", rts: "plain", cts: "plain", dsr: "plain", ri: "plain", cd: "plain", break_condition: "plain", in_waiting: "int", out_waiting: "int", resets: "int" });

const shapeOfDevice: Shape = () => ({ id: "plain", subsystem: "plain", name: "plain", vendor: "plain", vendor_id: "plain", model: "plain", model_id: "plain", serial: "plain", driver: "plain", node: "plain", by_id: "plain", parent: "plain", properties: ["record", ["union", "plain", "int"]] });

const shapeOfDeviceEvent: Shape = () => ({ action: "plain", t_wall_s: "float", device: shapeOfDevice, devices: ["list", shapeOfDevice], reason: "plain" });

const shapeOfSmart: Shape = () => ({ node: "plain", model_name: "plain", serial_number: "plain", firmware_version: "plain", protocol: "plain", passed: "plain", temperature_celsius: "float", power_on_hours: "int", power_cycle_count: "int", attributes: ["list", shapeOfSmartAttribute], nvme: ["record", "int"], reason: "plain" });

const shapeOfProcessList: Shape = () => ({ t_mono_s: "float", t_wall_s: "float", dt_s: "float", total: "int", running: "int", processes: ["list", shapeOfProcess], reasons: "plain" });

const shapeOfProcessDetails: Shape = () => ({ process: shapeOfProcess, uids: ["list", "int"], gids: ["list", "int"], children: ["list", shapeOfProcessRef], open_files: ["list", shapeOfOpenFile], uss_bytes: "int", ctx_switches_voluntary: "int", ctx_switches_involuntary: "int", cgroup: "plain", reasons: "plain" });

const shapeOfSnapshot: Shape = () => ({ t_mono_s: "float", t_wall_s: "float", dt_s: "float", host: shapeOfHost, cpu: shapeOfCpu, memory: shapeOfMemory, disks: shapeOfDisks, network: shapeOfNetwork, sensors: shapeOfSensors, battery: shapeOfBattery, users: ["list", shapeOfUser], cgroup: shapeOfCgroup, pressure: shapeOfPressure, gpus: shapeOfGpus, reasons: "plain" });

const shapeOfSample: Shape = () => ({ t_mono_s: "float", t_wall_s: "float", dt_s: "float", values: ["record", "float"], reasons: "plain" });

const shapeOfSeries: Shape = () => ({ metric: "plain", step_s: "float", points: ["list", shapeOfPoint] });

const shapeOfHost: Shape = () => ({ hostname: "plain", system: "plain", release: "plain", version: "plain", machine: "plain", distribution: "plain", python: "plain", boot_time: "float", uptime_s: "float", virtualization: "plain", hardware_vendor: "plain", hardware_model: "plain", reasons: "plain" });

const shapeOfCpu: Shape = () => ({ percent: "float", cores: ["list", shapeOfCpuCore], logical: "int", physical: "int", sockets: "int", model: "plain", frequency_mhz: "float", frequency_min_mhz: "float", frequency_max_mhz: "float", load_1m: "float", load_5m: "float", load_15m: "float", times: shapeOfCpuTimes, ctx_switches: "int", interrupts: "int", soft_interrupts: "int", ctx_switches_per_s: "float", interrupts_per_s: "float", reasons: "plain" });

const shapeOfMemory: Shape = () => ({ total_bytes: "int", available_bytes: "int", used_bytes: "int", free_bytes: "int", percent: "float", active_bytes: "int", inactive_bytes: "int", buffers_bytes: "int", cached_bytes: "int", shared_bytes: "int", slab_bytes: "int", swap: shapeOfSwap, reasons: "plain" });

const shapeOfDisks: Shape = () => ({ filesystems: ["list", shapeOfFilesystem], io: ["list", shapeOfDiskIo], reasons: "plain" });

const shapeOfNetwork: Shape = () => ({ interfaces: ["list", shapeOfNetworkInterface], total: shapeOfTraffic, inside: shapeOfTraffic, reasons: "plain" });

const shapeOfSensors: Shape = () => ({ readings: ["list", shapeOfSensor], reasons: "plain" });

const shapeOfBattery: Shape = () => ({ present: "plain", percent: "float", power_plugged: "plain", secsleft: "int", batteries: ["list", shapeOfBatteryUnit], reasons: "plain" });

const shapeOfUser: Shape = () => ({ name: "plain", terminal: "plain", host: "plain", started: "float", pid: "int", reasons: "plain" });

const shapeOfCgroup: Shape = () => ({ version: "plain", path: "plain", memory_limit_bytes: "int", memory_usage_bytes: "int", memory_percent: "float", memory_working_set_bytes: "int", memory_working_set_percent: "float", swap_limit_bytes: "int", swap_usage_bytes: "int", oom_kills: "int", cpu_limit_cores: "float", cpu_usage_s: "float", cpu_percent: "float", cpu_throttled_s: "float", cpuset: ["list", "int"], pids_limit: "int", pids_current: "int", host_memory_bytes: "int", host_cpus: "int", usable_memory_bytes: "int", usable_cpus: "float", reasons: "plain" });

const shapeOfPressure: Shape = () => ({ cpu_some: shapeOfStall, cpu_full: shapeOfStall, memory_some: shapeOfStall, memory_full: shapeOfStall, io_some: shapeOfStall, io_full: shapeOfStall, irq_full: shapeOfStall, reasons: "plain" });

const shapeOfGpus: Shape = () => ({ gpus: ["list", shapeOfGpu], reasons: "plain" });

const shapeOfConnections: Shape = () => ({ connections: ["list", shapeOfNetworkConnection], total: "int", reasons: "plain" });

const shapeOfSmartAttribute: Shape = () => ({ id: "int", name: "plain", value: "int", worst: "int", thresh: "int", when_failed: "plain", raw_value: "int", raw_string: "plain" });

const shapeOfProcess: Shape = () => ({ pid: "int", create_time: "float", ppid: "int", name: "plain", username: "plain", status: "plain", cpu_percent: "float", cpu_user_s: "float", cpu_system_s: "float", rss_bytes: "int", vms_bytes: "int", memory_percent: "float", num_threads: "int", num_fds: "int", nice: "int", cpu_affinity: ["list", "int"], read_bytes: "int", write_bytes: "int", cmdline: "plain", exe: "plain", cwd: "plain", terminal: "plain", reasons: "plain" });

const shapeOfProcessRef: Shape = () => ({ pid: "int", create_time: "float" });

const shapeOfOpenFile: Shape = () => ({ path: "plain", fd: "int", mode: "plain" });

const shapeOfPoint: Shape = () => ({ t_wall_s: "float", step_s: "float", mean: "float", min: "float", max: "float" });

const shapeOfCpuCore: Shape = () => ({ cpu: "int", online: "plain", percent: "float", frequency_mhz: "float", times: shapeOfCpuTimes, reasons: "plain" });

const shapeOfCpuTimes: Shape = () => ({ user: "float", system: "float", idle: "float", nice: "float", iowait: "float", irq: "float", softirq: "float", steal: "float", guest: "float", guest_nice: "float" });

const shapeOfSwap: Shape = () => ({ total_bytes: "int", used_bytes: "int", free_bytes: "int", percent: "float", sin_bytes: "int", sout_bytes: "int", sin_bytes_per_s: "float", sout_bytes_per_s: "float", reasons: "plain" });

const shapeOfFilesystem: Shape = () => ({ device: "plain", mountpoint: "plain", fstype: "plain", opts: "plain", root: "plain", bind: "plain", same_as: "plain", total_bytes: "int", used_bytes: "int", free_bytes: "int", percent: "float", inodes_total: "int", inodes_free: "int", reasons: "plain" });

const shapeOfDiskIo: Shape = () => ({ name: "plain", kind: "plain", read_count: "int", write_count: "int", read_bytes: "int", write_bytes: "int", busy_time_ms: "int", read_count_per_s: "float", write_count_per_s: "float", read_bytes_per_s: "float", write_bytes_per_s: "float", busy_percent: "float", reasons: "plain" });

const shapeOfNetworkInterface: Shape = () => ({ name: "plain", kind: "plain", lies_on: "plain", counted: "plain", isup: "plain", duplex: "plain", speed_mbit: "int", mtu: "int", addresses: "plain", bytes_sent: "int", bytes_recv: "int", packets_sent: "int", packets_recv: "int", errin: "int", errout: "int", dropin: "int", dropout: "int", bytes_sent_per_s: "float", bytes_recv_per_s: "float", packets_sent_per_s: "float", packets_recv_per_s: "float", reasons: "plain" });

const shapeOfTraffic: Shape = () => ({ bytes_sent_per_s: "float", bytes_recv_per_s: "float", packets_sent_per_s: "float", packets_recv_per_s: "float", reasons: "plain" });

const shapeOfSensor: Shape = () => ({ kind: "plain", chip: "plain", device: "plain", label: "plain", current: "float", high: "float", critical: "float", reason: "plain" });

const shapeOfBatteryUnit: Shape = () => ({ name: "plain", percent: "float", status: "plain", energy_now_wh: "float", energy_full_wh: "float", energy_design_wh: "float", power_w: "float", cycle_count: "int", technology: "plain", manufacturer: "plain", model_name: "plain", reasons: "plain" });

const shapeOfStall: Shape = () => ({ avg10: "float", avg60: "float", avg300: "float", total_us: "int" });

const shapeOfGpu: Shape = () => ({ index: "int", name: "plain", vendor: "plain", uuid: "plain", pci_bus_id: "plain", driver_version: "plain", memory_total_bytes: "int", memory_used_bytes: "int", memory_free_bytes: "int", utilization_gpu_percent: "float", utilization_memory_percent: "float", temperature_celsius: "float", power_draw_w: "float", power_limit_w: "float", fan_percent: "float", clock_graphics_mhz: "int", clock_memory_mhz: "int", processes: ["list", shapeOfGpuProcess], reasons: "plain" });

const shapeOfNetworkConnection: Shape = () => ({ family: "plain", type: "plain", local_ip: "plain", local_port: "int", remote_ip: "plain", remote_port: "int", path: "plain", status: "plain", pid: "int" });

const shapeOfGpuProcess: Shape = () => ({ pid: "int", memory_bytes: "int" });

const errors1 = { SectionUnavailable, SerialPortNotFound, SerialPortBusy, SerialPortDenied, HardwareRefused };

const errors2 = { SerialNotOpen, SerialPortGone, SerialPortBusy };

const errors3 = { SerialNotOpen, SerialPortGone, SerialTimeout };

const errors4 = { SerialNotOpen, SerialPortGone };

const errors5 = { SerialNotOpen };

const errors6 = { SectionUnavailable };

const errors7 = { SectionUnavailable, DeviceNotFound, HardwareRefused };

const errors8 = { ProcessGone, ProcessDenied };

/**
 * See and use the server's machine: processors, memory, disks, network, sensors, battery, GPUs, processes.
 *
 * A value that cannot be read is None, and `reasons` beside it says why. Names are psutil's where it has them, with
 * the unit added.
 */
export interface Hardware {
  /**
   * A device was added or removed, or has changed. `resync` tells that some of this was missed; `devices` lists
   * all.
   *
   * This is an event: the answer is a stream of all that happen from now on.
   * @param params.policy - what becomes of events while you are slow: drop_oldest, latest (all but the newest are
   *   dropped) or close.
   * @param params.buffer_items - how many events may wait for you.
   * @throws SlowConsumer: the policy is close, and more events wait.
   */
  device_changed(params?: {
    policy?: "drop_oldest" | "latest" | "close";
    buffer_items?: number | bigint;
  } | null, options?: CallOptions): RpcStream<EventOfDeviceEvent>;

  /** The serial ports of the machine. */
  serial_ports(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<SerialPort[]>;

  /**
   * Open a serial port for this connection alone. It is closed when the connection ends. What comes in is kept
   * from now on, until `read_serial` takes it.
   * @param params.port - its id, file or name, as `serial_ports` lists it.
   * @param params.baudrate - bits per second.
   * @param params.bytesize - data bits.
   * @param params.parity - none, even, odd, mark or space.
   * @param params.stopbits - 1, 1.5 or 2.
   * @param params.xonxoff - flow control by characters.
   * @param params.rtscts - flow control by lines.
   * @param params.dsrdtr - flow control by lines.
   * @param params.write_timeout_s - how long a write may wait for the other side to take anything, in seconds.
   * @throws SectionUnavailable: serial ports cannot be opened on this server.
   * @throws SerialPortNotFound: there is no such port.
   * @throws SerialPortBusy: somebody has it open.
   * @throws SerialPortDenied: the server's user may not open it.
   * @throws HardwareRefused: the caller's role does not list the port.
   * @throws InvalidParams: the port refuses a setting.
   */
  open_serial(params: {
    port: string;
    baudrate?: number | bigint;
    bytesize?: 5 | 6 | 7 | 8;
    parity?: "N" | "E" | "O" | "M" | "S";
    stopbits?: number;
    xonxoff?: boolean;
    rtscts?: boolean;
    dsrdtr?: boolean;
    write_timeout_s?: number;
  }, options?: CallOptions): Promise<SerialSession>;

  /**
   * Read what comes in, until the port is closed. A reader that grants no credit holds the port back: by its own
   * flow control, once the server's buffer is full.
   * @param params.id - as of `open_serial`.
   * @throws SerialNotOpen: this connection has no such port.
   * @throws SerialPortBusy: it is being read already.
   * @throws SerialPortGone: it was unplugged. Everything that came before is given first.
   */
  read_serial(params: {
    id: string;
  }, options?: CallOptions): RpcStream<SerialData>;

  /**
   * Write bytes; returns how many, when the system has taken all of them.
   * @param params.id - as of `open_serial`.
   * @param params.data - the bytes.
   * @param params.timeout_s - how long the other side may take nothing, in seconds; as given to `open_serial` where not
   *   given. With 0, what the system does not take at once is not written.
   * @throws SerialNotOpen: this connection has no such port.
   * @throws SerialTimeout: the other side takes nothing; the error says how many bytes were written.
   * @throws SerialPortGone: it was unplugged.
   */
  write_serial(params: {
    id: string;
    data: Uint8Array;
    timeout_s?: number | null;
  }, options?: CallOptions): Promise<number>;

  /**
   * Wait until everything that was written has been sent.
   * @param params.id - as of `open_serial`.
   * @throws SerialNotOpen: this connection has no such port.
   * @throws SerialPortGone: it was unplugged.
   */
  drain_serial(params: {
    id: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Throw away what has come in, or what was not sent yet.
   * @param params.id - as of `open_serial`.
   * @param params.input - what has come in. Data of `read_serial` with fewer `resets` than this returns is void.
   * @param params.output - what was not sent yet.
   * @returns How often input has been thrown away.
   * @throws SerialNotOpen: this connection has no such port.
   * @throws SerialPortGone: it was unplugged.
   */
  reset_serial(params: {
    id: string;
    input?: boolean;
    output?: boolean;
  }, options?: CallOptions): Promise<number>;

  /**
   * Set a port up anew.
   * @param params.id - as of `open_serial`.
   * @param params.settings - all of them.
   * @throws SerialNotOpen: this connection has no such port.
   * @throws SerialPortGone: it was unplugged.
   * @throws InvalidParams: the port refuses a setting.
   */
  configure_serial(params: {
    id: string;
    settings: SerialSettingsInput;
  }, options?: CallOptions): Promise<SerialSettings>;

  /**
   * The control lines, and how many bytes wait.
   * @param params.id - as of `open_serial`.
   * @throws SerialNotOpen: this connection has no such port.
   * @throws SerialPortGone: it was unplugged.
   */
  serial_lines(params: {
    id: string;
  }, options?: CallOptions): Promise<SerialLines>;

  /**
   * Set control lines. A port without lines, such as a pseudo-terminal, takes no notice.
   * @param params.id - as of `open_serial`.
   * @param params.dtr - data terminal ready; stays as it is where not given, as do the others.
   * @param params.rts - request to send.
   * @param params.break_condition - hold the line at break.
   * @throws SerialNotOpen: this connection has no such port.
   * @throws SerialPortGone: it was unplugged.
   */
  set_serial_lines(params: {
    id: string;
    dtr?: boolean | null;
    rts?: boolean | null;
    break_condition?: boolean | null;
  }, options?: CallOptions): Promise<null>;

  /**
   * Hold the line at break for a while.
   * @param params.id - as of `open_serial`.
   * @param params.duration_s - how long, in seconds.
   * @throws SerialNotOpen: this connection has no such port.
   * @throws SerialPortGone: it was unplugged.
   */
  send_break(params: {
    id: string;
    duration_s?: number;
  }, options?: CallOptions): Promise<null>;

  /**
   * Close a port. Readers see the end of their stream.
   * @param params.id - as of `open_serial`.
   * @throws SerialNotOpen: this connection has no such port.
   */
  close_serial(params: {
    id: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * The devices of the machine: PCI, USB, disks, network, input, serial ports, graphics, memory modules, board.
   * @param params.subsystems - which; all where not given.
   */
  devices(params?: {
    subsystems?: readonly ("pci" | "usb" | "block" | "net" | "input" | "tty" | "drm" | "memory" | "dmi")[] | null;
  } | null, options?: CallOptions): Promise<Device[]>;

  /**
   * Follow the devices: all of them at first, then each one that is added, removed or changed. Where events were
   * lost, because there were too many or the reader was too slow, all of them again (`resync`).
   * @param params.subsystems - which; all where not given.
   * @throws SectionUnavailable: the system reports no device events.
   */
  watch_devices(params?: {
    subsystems?: readonly ("pci" | "usb" | "block" | "net" | "input" | "tty" | "drm" | "memory" | "dmi")[] | null;
  } | null, options?: CallOptions): RpcStream<DeviceEvent>;

  /**
   * What a disk says of its own health (SMART).
   * @param params.disk - its name, file or link, as `devices` lists it.
   * @throws DeviceNotFound: there is no such disk.
   * @throws SectionUnavailable: smartctl is not installed, or gives no answer.
   * @throws HardwareRefused: the caller's role does not list the disk.
   */
  smart(params: {
    disk: string;
  }, options?: CallOptions): Promise<Smart>;

  /**
   * The processes of the machine that the caller may see.
   * @param params.attributes - what to read of each; what costs little where not given. In command lines, what looks like a
   *   secret is replaced by `***`.
   * @param params.sort - in which order.
   * @param params.limit - the most to list.
   */
  processes(params?: {
    attributes?: readonly ("pid" | "create_time" | "ppid" | "name" | "username" | "status" | "cpu_percent" | "cpu_times" | "memory_info" | "memory_percent" | "num_threads" | "num_fds" | "nice" | "cpu_affinity" | "io_counters" | "cmdline" | "exe" | "cwd" | "terminal")[] | null;
    sort?: "cpu_percent" | "memory_percent" | "cpu_times" | "pid" | "name" | "create_time";
    limit?: number | bigint;
  } | null, options?: CallOptions): Promise<ProcessList>;

  /**
   * Follow the processes of the machine. A reader that is too slow gets the latest list.
   * @param params.attributes - as of `processes`.
   * @param params.sort - as of `processes`.
   * @param params.limit - as of `processes`.
   * @param params.interval_s - time between two readings, in seconds. Two digits of it count, so that readers share them.
   * @throws InvalidParams: the interval is shorter than the server allows.
   */
  watch_processes(params?: {
    attributes?: readonly ("pid" | "create_time" | "ppid" | "name" | "username" | "status" | "cpu_percent" | "cpu_times" | "memory_info" | "memory_percent" | "num_threads" | "num_fds" | "nice" | "cpu_affinity" | "io_counters" | "cmdline" | "exe" | "cwd" | "terminal")[] | null;
    sort?: "cpu_percent" | "memory_percent" | "cpu_times" | "pid" | "name" | "create_time";
    limit?: number | bigint;
    interval_s?: number;
  } | null, options?: CallOptions): RpcStream<ProcessList>;

  /**
   * Everything about one process.
   * @param params.pid - its number.
   * @param params.create_time - when it started, as `processes` lists it; whichever has the number where not given.
   * @throws ProcessGone: it has ended.
   * @throws ProcessDenied: the system hides it from the server's user, or the caller's role does.
   */
  process(params: {
    pid: number | bigint;
    create_time?: number | null;
  }, options?: CallOptions): Promise<ProcessDetails>;

  /**
   * Send a signal to a process, which must be the one that is meant: a number that is another's by now is left
   * alone.
   * @param params.pid - the process, as `processes` lists it.
   * @param params.create_time - the process, as `processes` lists it.
   * @param params.signal - its name, such as `TERM` or `SIGHUP`.
   * @throws InvalidParams: there is no such signal.
   * @throws ProcessGone: it has ended.
   * @throws ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
   */
  signal_process(params: {
    pid: number | bigint;
    create_time: number;
    signal?: string;
  }, options?: CallOptions): Promise<null>;

  /**
   * Set the priority of a process.
   * @param params.pid - the process, as `processes` lists it.
   * @param params.create_time - the process, as `processes` lists it.
   * @param params.nice - from -20 (first) to 19 (last).
   * @returns The priority that it has then.
   * @throws ProcessGone: it has ended.
   * @throws ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
   */
  set_priority(params: {
    pid: number | bigint;
    create_time: number;
    nice: number | bigint;
  }, options?: CallOptions): Promise<number>;

  /**
   * Set the processors that a process may run on.
   * @param params.pid - the process, as `processes` lists it.
   * @param params.create_time - the process, as `processes` lists it.
   * @param params.cpus - the numbers of the processors.
   * @returns Those that it may run on then.
   * @throws InvalidParams: none of them can be used.
   * @throws ProcessGone: it has ended.
   * @throws ProcessDenied: the server's user may not, or the caller's role allows only the caller's own.
   */
  set_affinity(params: {
    pid: number | bigint;
    create_time: number;
    cpus: readonly (number | bigint)[];
  }, options?: CallOptions): Promise<number[]>;

  /**
   * Follow some sections, with rates computed here over each interval. A reader that is too slow gets the
   * latest reading, not all of them.
   * @param params.sections - which; all where not given.
   * @param params.interval_s - time between two readings, in seconds. Two digits of it count, so that readers share them.
   * @throws InvalidParams: the interval is shorter than the server allows.
   */
  watch(params?: {
    sections?: readonly ("host" | "cpu" | "memory" | "disks" | "network" | "sensors" | "battery" | "users" | "cgroup" | "pressure" | "gpus")[] | null;
    interval_s?: number;
  } | null, options?: CallOptions): RpcStream<Snapshot>;

  /**
   * Follow metrics: numbers with names, such as `cpu.percent` or
   * `network.interfaces.bytes_recv_per_s{eth0}`. A reader that is too slow gets the latest sample.
   * @param params.sections - which; all where not given.
   * @param params.interval_s - time between two readings, in seconds. Two digits of it count, so that readers share them.
   * @param params.filter - names of metrics, without braces for all of a kind; `*` and `?` stand for anything. At most
   *   1,000 names, 32 of them with wildcards.
   * @param params.on_change - leave out samples in which nothing has changed since the one before.
   * @throws InvalidParams: the interval is shorter than the server allows, the sections have no such metric, or the
   *   filter is too long.
   */
  subscribe(params?: {
    sections?: readonly ("host" | "cpu" | "memory" | "disks" | "network" | "sensors" | "battery" | "users" | "cgroup" | "pressure" | "gpus")[] | null;
    interval_s?: number;
    filter?: readonly string[] | null;
    on_change?: boolean;
  } | null, options?: CallOptions): RpcStream<Sample>;

  /**
   * What metrics were: the last hour finely, the last day coarsely (as the server is configured). Counters are
   * kept as their rates, and the host's own figures not at all.
   * @param params.metrics - their names, as `subscribe` gives and takes them; at most 1,000, 32 of them with wildcards.
   * @param params.start_s - from when on, in seconds since 1970, or, if negative, before now; an hour ago where not given.
   * @param params.end_s - until when, likewise; now where not given.
   * @param params.step_s - the time that each point is to cover, in seconds; as fine as is known where not given. The
   *   server keeps less of what is older: such points cover more, as they say.
   * @throws InvalidParams: there is no such metric, or it has no history; the time ends before it begins, the server
   *   keeps no history, or the answer would have more than 131,072 points.
   */
  history(params: {
    metrics: readonly string[];
    start_s?: number | null;
    end_s?: number | null;
    step_s?: number | null;
  }, options?: CallOptions): Promise<Series[]>;

  /** The names of the metrics that have a history. */
  history_metrics(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<string[]>;

  /** What can be read and used on this machine, and why the rest cannot. */
  capabilities(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Capability[]>;

  /**
   * Several sections, read together.
   * @param params.sections - which; all where not given.
   */
  snapshot(params?: {
    sections?: readonly ("host" | "cpu" | "memory" | "disks" | "network" | "sensors" | "battery" | "users" | "cgroup" | "pressure" | "gpus")[] | null;
  } | null, options?: CallOptions): Promise<Snapshot>;

  /**
   * The machine and its system.
   * @throws SectionUnavailable: it cannot be read now.
   */
  host(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Host>;

  /**
   * The processors: how busy, how many, how fast. Shares are taken over the time since an earlier reading.
   * @throws SectionUnavailable: it cannot be read now.
   */
  cpu(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Cpu>;

  /**
   * Memory and swap.
   * @throws SectionUnavailable: it cannot be read now.
   */
  memory(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Memory>;

  /**
   * Mounted file systems, and what goes through the block devices.
   * @throws SectionUnavailable: it cannot be read now.
   */
  disks(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Disks>;

  /**
   * The network interfaces and what goes through them.
   * @throws SectionUnavailable: it cannot be read now.
   */
  network(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Network>;

  /**
   * Temperatures, fans, voltages, currents and power.
   * @throws SectionUnavailable: it cannot be read now.
   */
  sensors(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Sensors>;

  /**
   * The batteries, if there are any.
   * @throws SectionUnavailable: it cannot be read now.
   */
  battery(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Battery>;

  /**
   * The sessions of users who are logged in.
   * @throws SectionUnavailable: it cannot be read now, or the system keeps no record of them (neither utmp nor logind).
   */
  users(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<User[]>;

  /**
   * The limits and the use of the server's own control group, beside what the host has.
   * @throws SectionUnavailable: it cannot be read now.
   */
  cgroup(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Cgroup>;

  /**
   * How much processes wait for processors, memory, disks and interrupts.
   * @throws SectionUnavailable: it cannot be read now.
   */
  pressure(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Pressure>;

  /**
   * The graphics processors, with the processes on them that the caller may see.
   * @throws SectionUnavailable: it cannot be read now.
   */
  gpus(params?: Readonly<Record<string, never>> | null, options?: CallOptions): Promise<Gpus>;

  /**
   * The sockets of the machine, and whose they are; of the caller's own processes alone, if the caller may see no
   * others.
   * @param params.kind - which.
   * @param params.limit - the most to list.
   */
  connections(params?: {
    kind?: "all" | "inet" | "inet4" | "inet6" | "tcp" | "tcp4" | "tcp6" | "udp" | "udp4" | "udp6" | "unix";
    limit?: number | bigint;
  } | null, options?: CallOptions): Promise<Connections>;
}

/** The stub of the service `hardware`, for `client.service`. */
export const hardware: ServiceStub<Hardware> = defineService<Hardware>("hardware", {
  device_changed: { returns: shapeOfEventOfDeviceEvent, isStream: true },
  serial_ports: {},
  open_serial: { errors: errors1 },
  read_serial: { returns: shapeOfSerialData, isStream: true, errors: errors2 },
  write_serial: { returns: "int", deadlineS: 3600, errors: errors3 },
  drain_serial: { deadlineS: 3600, errors: errors4 },
  reset_serial: { returns: "int", errors: errors4 },
  configure_serial: { errors: errors4 },
  serial_lines: { returns: shapeOfSerialLines, errors: errors4 },
  set_serial_lines: { errors: errors4 },
  send_break: { errors: errors4 },
  close_serial: { errors: errors5 },
  devices: { returns: ["list", shapeOfDevice] },
  watch_devices: { returns: shapeOfDeviceEvent, isStream: true, errors: errors6 },
  smart: { returns: shapeOfSmart, errors: errors7 },
  processes: { returns: shapeOfProcessList },
  watch_processes: { returns: shapeOfProcessList, isStream: true, isLatest: true },
  process: { returns: shapeOfProcessDetails, errors: errors8 },
  signal_process: { errors: errors8 },
  set_priority: { returns: "int", errors: errors8 },
  set_affinity: { returns: ["list", "int"], errors: errors8 },
  watch: { returns: shapeOfSnapshot, isStream: true, isLatest: true },
  subscribe: { returns: shapeOfSample, isStream: true, isLatest: true },
  history: { returns: ["list", shapeOfSeries] },
  history_metrics: {},
  capabilities: {},
  snapshot: { returns: shapeOfSnapshot },
  host: { returns: shapeOfHost, errors: errors6 },
  cpu: { returns: shapeOfCpu, errors: errors6 },
  memory: { returns: shapeOfMemory, errors: errors6 },
  disks: { returns: shapeOfDisks, errors: errors6 },
  network: { returns: shapeOfNetwork, errors: errors6 },
  sensors: { returns: shapeOfSensors, errors: errors6 },
  battery: { returns: shapeOfBattery, errors: errors6 },
  users: { returns: ["list", shapeOfUser], errors: errors6 },
  cgroup: { returns: shapeOfCgroup, errors: errors6 },
  pressure: { returns: shapeOfPressure, errors: errors6 },
  gpus: { returns: shapeOfGpus, errors: errors6 },
  connections: { returns: shapeOfConnections },
});
