-- Dissects the frames of spinn2emu's traces (pcapng, link type USER0), as FRAME in spinn2emu/trace/schema.py has them.
--
--     tshark -X lua_script:spinn2.lua -r trace.pcapng -Y 's2.type == "error" && s2.src == "1.2.1"'
--
-- For Wireshark 3.6 and newer (Lua 5.1 to 5.4, hence no bit operators and no integer division).
-- tests/test_trace_wireshark.py holds the names below to schema.py and geometry.py.

if pcall(function() assert(Dissector.get("s2")) end) then
    return -- it is installed, and named on the command line as well
end

local VERSION = 2
local HEAD_BYTES = 28
local USER0 = (wtap or wtap_encaps).USER0

local EVENTS = {
    [0] = "sent", "received", "unrouted", "other_type", "unclaimed", "not_live", "fifo_full", "off_chip", "phase", "overrun",
}
local FIRST_DROP, LAST_DROP, PHASE = 2, 7, 8
local PACKET_TYPES = { [0] = "multicast", "core_to_core", "nearest_neighbour", "global" }
local PAYLOAD_WORDS = { [0] = 0, 1, 2, 4 }
local NO_PORT = 255

-- In the order of the PE ids: quad k holds the ids 4k+1 .. 4k+4.
local QUADS = "7.6 7.5 6.6 6.5 6.4 5.4 5.6 3.6 4.6 5.5 3.5 4.5 1.6 2.6 1.5 2.5 1.4 2.4 3.4 1.1 "
    .. "2.1 1.2 2.2 1.3 2.3 3.3 5.1 3.1 4.1 5.2 3.2 4.2 7.1 6.1 7.2 6.2 6.3 5.3"
local LINKS = 6

local INTERFACES = { [0] = "router" }
for quad in QUADS:gmatch("%S+") do
    for p = 0, 3 do
        INTERFACES[#INTERFACES + 1] = quad .. "." .. p
    end
end
for link = 0, LINKS - 1 do
    INTERFACES[#INTERFACES + 1] = "link" .. link
end

local s2 = Proto("s2", "SpiNNaker2 packet")
local f = {
    version = ProtoField.uint8("s2.version", "Version of the frame"),
    event = ProtoField.string("s2.event", "Event"),
    dropped = ProtoField.bool("s2.dropped", "Dropped"),
    type = ProtoField.string("s2.type", "Type"),
    src = ProtoField.string("s2.src", "Source"),
    dst = ProtoField.string("s2.dst", "Destination"),
    pe = ProtoField.string("s2.pe", "Source or destination"),
    key = ProtoField.uint32("s2.key", "Key", base.HEX),
    tick = ProtoField.uint32("s2.tick", "Tick of the sending"),
    time = ProtoField.uint32("s2.time", "Sent, ns after the begin of the tick"),
    latency = ProtoField.uint32("s2.latency", "Latency since the sending, ns"),
    hops = ProtoField.uint8("s2.hops", "Hops of the mesh"),
    population = ProtoField.string("s2.population", "Population of the source"),
    id = ProtoField.string("s2.id", "Packet (the same for all its copies)"),
    phase = ProtoField.uint8("s2.phase", "Phase of the sender"),
    out = ProtoField.uint8("s2.out", "Output port of the sender"),
    port = ProtoField.uint8("s2.port", "Input port of the receiver"),
    control = ProtoField.uint8("s2.control", "Control byte", base.HEX),
    ptype = ProtoField.string("s2.ptype", "Packet type on the chip"),
    payload = ProtoField.bytes("s2.payload", "Payload"),
    word = ProtoField.uint32("s2.word", "Word", base.HEX),
    float = ProtoField.float("s2.float", "Word as a number"),
}
s2.fields = f

local dropped = ProtoExpert.new("s2.dropped_packet", "Dropped", expert.group.RESPONSE_CODE, expert.severity.WARN)
local malformed = ProtoExpert.new("s2.malformed", "Not as announced", expert.group.MALFORMED, expert.severity.ERROR)
local unknown = ProtoExpert.new("s2.unknown", "Unknown version", expert.group.UNDECODED, expert.severity.WARN)
s2.experts = { dropped, malformed, unknown }

local format = string.format

local function interface_name(number)
    return INTERFACES[number] or format("interface%d", number)
end

local function source_name(number)
    return number == 0 and "host" or interface_name(number)
end

-- Names that the description of each interface lists: those of types by number (the chip's, and those of the ports), and
-- those of populations by the number of the PE.
local description = Field.new("frame.interface_description")

local function types_in(text)
    local names = { [0] = PACKET_TYPES[0], PACKET_TYPES[1], PACKET_TYPES[2], PACKET_TYPES[3] }
    for number, name in (text:match("^.*types: (.*)$") or ""):gmatch("(%d+) ([^,]+)") do
        names[tonumber(number)] = name
    end
    return names
end

-- "populations: 77-79+83 exc, 80 inh"; marks in names are written %2c.
local function populations_in(text)
    local names = {}
    for ranges, name in (text:match("^.*populations: ([^;]*)") or ""):gmatch("([%d%-+]+) ([^,]+)") do
        name = name:gsub("%%(%x%x)", function(code) return string.char(tonumber(code, 16)) end)
        for first, last in ranges:gmatch("(%d+)%-?(%d*)") do
            for pe = tonumber(first), math.min(tonumber(last) or tonumber(first), #INTERFACES) do
                names[pe] = name
            end
        end
    end
    return names
end

local known = {}
local function names()
    local about = description()
    local text = about and about.value or ""
    if not known[text] then
        known[text] = { types = types_in(text), populations = populations_in(text) }
    end
    return known[text]
end

-- What several fields and columns need of a frame, from one string instead of many calls.
local function parse(tvb)
    local _, event, kind, port, s0, s1, d0, d1, t0, t1, t2, t3, n0, n1, n2, n3, _, _, _, control =
        tvb:raw(0, 20):byte(1, 20)
    local named, source = names(), s0 + 256 * s1
    local words = PAYLOAD_WORDS[math.floor(control / 16) % 4]
    local held = math.floor((tvb:len() - HEAD_BYTES) / 4)
    return {
        event = EVENTS[event] or format("event%d", event),
        is_phase = event == PHASE,
        is_packet = event < PHASE,
        dropped = event >= FIRST_DROP and event <= LAST_DROP,
        type = named.types[kind] or format("type%d", kind),
        src = source_name(source),
        population = named.populations[source],
        dst = event > 0 and interface_name(d0 + 256 * d1) or nil,
        tick = t0 + 256 * (t1 + 256 * (t2 + 256 * t3)),
        sent = n0 + 256 * (n1 + 256 * (n2 + 256 * n3)),
        port = port,
        control = control,
        words = math.min(words, held),
        fits = tvb:len() == HEAD_BYTES + 4 * words,
    }
end

local function add_payload(tvb, tree, words)
    local item = tree:add(f.payload, tvb(HEAD_BYTES, 4 * words))
    for word = 0, words - 1 do
        local range = tvb(HEAD_BYTES + 4 * word, 4)
        item:add_le(f.word, range)
        item:add_le(f.float, range)
    end
end

-- Fields that nobody asks for are left out: most, while a filter reads millions of frames.
local function add_fields(tvb, tree, p)
    local all = tree.visible
    if all or tree:referenced(f.event) then tree:add(f.event, tvb(1, 1), p.event) end
    if all or tree:referenced(f.dropped) then tree:add(f.dropped, tvb(1, 1), p.dropped) end
    if p.is_packet and (all or tree:referenced(f.type)) then tree:add(f.type, tvb(2, 1), p.type) end
    if all or tree:referenced(f.src) then tree:add(f.src, tvb(4, 2), p.src) end
    if p.population and (all or tree:referenced(f.population)) then
        tree:add(f.population, tvb(4, 2), p.population)
    end
    if p.dst and (all or tree:referenced(f.dst)) then tree:add(f.dst, tvb(6, 2), p.dst) end
    if all or tree:referenced(f.pe) then
        tree:add(f.pe, tvb(4, 2), p.src):set_hidden()
        if p.dst then tree:add(f.pe, tvb(6, 2), p.dst):set_hidden() end
    end
    if all or tree:referenced(f.key) then tree:add_le(f.key, tvb(24, 4)) end
    if p.words > 0 and (all or tree:referenced(f.payload) or tree:referenced(f.word) or tree:referenced(f.float)) then
        add_payload(tvb, tree, p.words)
    end
    if all or tree:referenced(f.tick) then tree:add_le(f.tick, tvb(8, 4)) end
    if all or tree:referenced(f.time) then tree:add_le(f.time, tvb(12, 4)) end
    if all or tree:referenced(f.latency) then tree:add_le(f.latency, tvb(20, 4)) end
    if all or tree:referenced(f.hops) then tree:add(f.hops, tvb(18, 1)) end
    if all or tree:referenced(f.id) then
        tree:add(f.id, tvb(4, 12), format("%s@%d+%d", p.src, p.tick, p.sent)):set_generated()
    end
    if all or tree:referenced(f.phase) then tree:add(f.phase, tvb(16, 1)) end
    if all or tree:referenced(f.out) then tree:add(f.out, tvb(17, 1)) end
    if p.port ~= NO_PORT and (all or tree:referenced(f.port)) then tree:add(f.port, tvb(3, 1)) end
    if all or tree:referenced(f.control) then tree:add(f.control, tvb(19, 1)) end
    if all or tree:referenced(f.ptype) then
        tree:add(f.ptype, tvb(19, 1), PACKET_TYPES[math.floor(p.control / 64)])
    end
    if all or tree:referenced(f.version) then tree:add(f.version, tvb(0, 1)) end
end

local function payload_text(tvb, p)
    local parts = {}
    for word = 0, p.words - 1 do
        local range = tvb(HEAD_BYTES + 4 * word, 4)
        parts[word + 1] = format("0x%08x (%.6g)", range:le_uint(), range:le_float())
    end
    return p.words > 0 and " = " .. table.concat(parts, ", ") or ""
end

local function set_columns(tvb, cols, p)
    cols.src = p.src
    cols.dst = p.is_packet and p.dst or ""
    if p.is_phase then
        cols.info = format("begins phase %d  tick %d", tvb(16, 1):uint(), p.tick)
        return
    end
    if not p.is_packet then
        cols.info = format("overran by %.6f ms  tick %d", tvb(20, 4):le_uint() / 1e6, p.tick)
        return
    end
    local drop = p.dropped and format("DROPPED (%s) ", p.event) or ""
    cols.info = format("%s%s  key 0x%08x%s  tick %d", drop, p.type, tvb(24, 4):le_uint(), payload_text(tvb, p), p.tick)
end

-- Of a frame that cannot be dissected, or not wholly.
local function complain(pinfo, tree, kind, text)
    pinfo.cols.info = text
    tree:add_proto_expert_info(kind, text)
end

function s2.dissector(tvb, pinfo, root)
    local size = tvb:len()
    local tree = root:add(s2, tvb())
    pinfo.cols.protocol = "S2"
    if size < HEAD_BYTES then
        complain(pinfo, tree, malformed, format("a frame of %d bytes: there are at least %d", size, HEAD_BYTES))
        return size
    end
    local version = tvb(0, 1):uint()
    if version ~= VERSION then
        tree:add(f.version, tvb(0, 1))
        complain(pinfo, tree, unknown, format("unknown version %d of the frame: known is %d", version, VERSION))
        return size
    end
    local p = parse(tvb)
    add_fields(tvb, tree, p)
    set_columns(tvb, pinfo.cols, p)
    if p.dropped then
        tree:add_proto_expert_info(dropped, "dropped: " .. p.event)
    end
    if not p.fits then
        local text = format("control byte 0x%02x does not fit a frame of %d bytes", p.control, size)
        complain(pinfo, tree, malformed, text)
    end
    return size
end

DissectorTable.get("wtap_encap"):add(USER0, s2)
