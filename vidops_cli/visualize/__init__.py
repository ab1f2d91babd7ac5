"""What there is to see of an operator: from it and what it was given to pictures as plain numbers, which
`report/pictures.py` draws. This page imports no torch.
"""

SEEN = {
    "rsa": "the kernel of each head over its window",
    "lisa": "patterns P and R of a head, and where each P is found",
    "selfy": "self-similarity around a point (STSS), and the best match in each other frame",
    "motion_squeeze": "displacement to the next frame, and its confidence",
    "sifa": "where the taps of a point read the next frame, and their weights",
    "deformable_conv": "where the taps of a point read its frame, and their weights",
    "cca": "co-attention of two images, and the matches of a point",
    "scr": "self-correlation around a point",
    "integral_action": "the gate over time",
    "pose_to_feature": "heat maps of the joints",
    "correlation": "matches of a point in the frame before, and the best one of every point",
    "local_attention": "weights of a point over its window",
    "involution": "the kernel of each group over its window",
    "self_attention": "weights of a point over all frames",
    "non_local": "weights of a point over all frames",
    "structsa": "patterns U_K and U_V of a head",
}
POSES = ("integral_action", "pose_to_feature")  # which take joints: to be seen in a run alone
