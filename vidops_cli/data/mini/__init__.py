"""Generated benchmarks: their cards. This page imports no torch."""

from vidops_cli.data.card import DataSet

BENCHMARKS = (
    DataSet(
        name="mini_motion",
        title="Mini motion: direction of a camouflaged disc, generated, H.264",
        how="vidops data generate mini_motion --root datasets/mini_motion",
        module="vidops_cli.data.mini.motion",
        mirrors=False,
        generated=True,
        needs="where the texture moves from one frame to the next, at the speed of the disc",
        cannot_help={
            "one_frame": "one frame: disc and ground are of the same texture, and stand anywhere",
            "frames_without_order": "the set of frames without their order tells the axis, not the direction",
            "speed": "how fast the disc moves (`spread`): as fast in every direction",
            "what_is_not_the_disc": "the ground (`drift`) and the `others` go any way, whatever the label",
            "one_step_of_a_disc": "with `others` all discs step as far; one alone goes on in its direction",
        },
        floors="chance 1 / directions; blind to the order of frames 1/2",
        tables=("motionsqueeze", "order", "corruption"),
    ),
    DataSet(
        name="mini_dots",
        title="Mini dots: direction of limited-life random dots, a share of which moves together, generated, H.264",
        how="vidops data generate mini_dots --root datasets/mini/dots",
        module="vidops_cli.data.mini.dots",
        mirrors=False,
        generated=True,
        needs="which dot of a frame goes on where in the next, summed up over the dots and frames of a clip",
        cannot_help={
            "one_frame": "one frame: dots stand anywhere, whatever the label",
            "frames_without_order": "the set of frames without their order tells the axis, not the direction",
            "frames_a_life_apart": "frames a life of the dots or more apart: all dots are new",
        },
        floors="chance 1 / directions; blind to the order of frames 1/2",
        tables=("rsa",),
    ),
    DataSet(
        name="mini_long_range",
        title="Mini long range: direction of motion that shows between frames some way apart, generated, H.264",
        how="vidops data generate mini_long_range --root datasets/mini/long_range",
        module="vidops_cli.data.mini.long_range",
        mirrors=False,
        generated=True,
        needs="where the texture has moved between frames `gap` apart, past the unrelated ones between them",
        cannot_help={
            "one_frame": "one frame: every scene may stand anywhere, whatever the label",
            "frames_without_order": "the set of frames without their order tells the axis, not the direction",
            "neighbours": "frames less than `gap` apart, and windows of up to `gap` frames: of unrelated scenes",
        },
        floors="chance 1 / directions; blind to the order of frames 1/2",
        tables=("selfy",),
    ),
    DataSet(
        name="mini_out_of_context",
        title="Mini out of context: a stick figure moves its limbs, with joints, generated, H.264",
        how="vidops data generate mini_out_of_context --root datasets/mini/out_of_context",
        module="vidops_cli.data.mini.out_of_context",
        mirrors=False,
        joints="stick9",
        generated=True,
        needs=(
            "which limbs go up and which down, from the joints where they are found and right, else from the "
            "frames; in training the colour of the ground mostly gives it away, out of context it misleads"
        ),
        cannot_help={
            "one_frame": "one frame, or its joints: every limb is as likely at any height, whatever the action",
            "frames_without_order": "the set of frames without their order is that of the opposite action, too",
            "place": "where the figure stands, whether it is drawn, and whether its joints are found",
            "ground_when_absent": "in test_absent the ground: it is of no action",
        },
        floors=(
            "chance 1 / actions; blind to the order of frames 1/2; the ground alone: `context` as in training, 0 "
            "out of context (test), 1 in test_agree, chance in test_absent"
        ),
        tables=("integral_action",),
    ),
    DataSet(
        name="mini_few_shot",
        title="Mini few-shot: glyphs of new classes in a clutter of their strokes, generated, PNG images",
        how="vidops data generate mini_few_shot --root datasets/mini/few_shot",
        module="vidops_cli.data.mini.few_shot",
        mirrors=False,
        generated=True,
        needs="how the strokes of a glyph are joined, wherever it stands, and which strokes are not its own",
        cannot_help={
            "classes_of_train": "no class of val or test is one of train; any two differ in two strokes or more",
            "colour": "images are grey",
            "brightness": "all images have the same mean, but for rounding",
            "ink": "a glyph of any class has as much ink; clutter has as much whatever the class",
            "position": "where the glyph stands, its turn, size and contrast, and all clutter hang on no class",
        },
        floors="chance 1 / 5, for episodes of 5 ways",
        tables=("renet", "renet_self_relation"),
    ),
    DataSet(
        name="mini_displacement",
        title="Mini displacement: discs jump far between frames and change their marks, generated, H.264",
        how="vidops data generate mini_displacement --root datasets/mini/displacement",
        module="vidops_cli.data.mini.displacement",
        mirrors=False,
        generated=True,
        needs="the disc of the same hue in the next frame, a jump away anywhere, and its mark then",
        cannot_help={
            "one_frame": "one frame: any disc bears any mark",
            "colours_and_places": "hues, places and jumps: drawn alike for every label",
            "marks_without_bearers": "the marks of a frame without their discs: every frame shows each mark once",
            "frames_without_order": "the set of frames without their order does not tell a step from its reverse",
            "a_window_below_the_jump": "around where a disc stood, as far as a jump less a radius, is ground",
        },
        floors="chance 1 / discs; blind to the order of frames (discs // 2 + 1) / discs",
        tables=("sifa",),
    ),
    DataSet(
        name="mini_structure",
        title="Mini structure: in which order four kinds of parts stand around a board, generated, PNG images",
        how="vidops data generate mini_structure --root datasets/mini/structure",
        module="vidops_cli.data.mini.structure",
        generated=True,
        needs="which kinds of parts stand side by side around the board, wherever that begins and the board lies",
        cannot_help={
            "parts": "the bag of parts: one and the same in every image",
            "one_kind": "where the parts of one kind stand: as often at each place in every class",
            "sum_of_places": "kinds and places of all parts, added up: as many of each pair in every class",
            "shift": "where the board lies: drawn before the label is looked at",
            "brightness": "without noise, all images have the same grey levels, as many of each",
        },
        floors="chance 1/3, 1/6 where content decides; the bag of parts 1/3, all that counts where content decides",
        tables=("lisa", "lisa_content"),
    ),
)
